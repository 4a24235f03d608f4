//! New connections: who may come in, and where from.

use super::{Accepted, Front};
use crate::config::Protocol;
use crate::protocol::dovecot_auth::Userdb;
use crate::protocol::socketmap::Socketmap;
use crate::server::deadline::{self, Rounds};
use crate::server::door;
use crate::server::drive::write;
use crate::server::permit::Refused;
use crate::server::proxy;
use crate::server::reactor::Source;
use crate::server::setup::Served;
use crate::server::tasks::Tasks;
use crate::server::transport::{Socket, Transport, socket};
use crate::sys::memory;
use rustix::net::{RecvFlags, SocketAddrAny, SocketFlags, acceptfrom_with};
use smol::future::{FutureExt, or};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

/// How long a proxy may take to say for whom it connects.
const PROXY_PATIENCE: Duration = Duration::from_secs(5);

/// Takes connections of one listener.
pub(super) async fn accept(
    front: Rc<Front>,
    tasks: Rc<Tasks>,
    listener: Source<OwnedFd>,
    served: Served,
) {
    let mut rounds = Rounds::default();
    loop {
        rounds.next().await;
        let next = listener.read_with(|listener| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            Ok(acceptfrom_with(listener, flags)?)
        });
        let next = or(async { Some(next.await) }, async {
            front.stop.wait().await;
            None
        });
        match next.await {
            None => return,
            Some(Ok((descriptor, address))) => {
                let address = peer(address, served);
                tasks.start(serve(front.clone(), descriptor, address, served));
            }
            Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Some(Err(error)) => {
                // No descriptors or no memory: others have to end first.
                log::error!("a connection cannot be accepted: {error}");
                deadline::after(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Where a connection comes from.
fn peer(address: Option<SocketAddrAny>, served: Served) -> IpAddr {
    let address = address.and_then(|a| SocketAddr::try_from(a).ok());
    match address {
        Some(address) if !served.unix => address.ip().to_canonical(),
        _ => Ipv4Addr::LOCALHOST.into(),
    }
}

async fn serve(front: Rc<Front>, descriptor: OwnedFd, address: IpAddr, served: Served) {
    front.open.set(front.open.get() + 1);
    if let Ok(socket) = socket(descriptor) {
        // Boxed, so that what waits for long is not as large as what is busy for a moment.
        let greeted = Box::pin(greet(front.clone(), socket, served, address));
        if AssertUnwindSafe(greeted).catch_unwind().await.is_err() {
            log::error!("a connection from {address} panicked; it ends, others go on");
        }
    }
    front.open.set(front.open.get().saturating_sub(1));
}

async fn greet(front: Rc<Front>, socket: Socket, served: Served, mut address: IpAddr) {
    let mut local = address.is_loopback();
    if served.proxy_protocol {
        if !front.setup.limits.trusts(address) {
            log::warn!("{address} is no trusted network: its PROXY header is not taken");
            return;
        }
        match proxied(&socket).await {
            Ok(Some(client)) => {
                address = client.to_canonical();
                local = false;
            }
            Ok(None) => {}
            Err(error) => {
                log::warn!("{address} sends no PROXY header: {error}");
                return;
            }
        }
    }
    let number = front.number();
    let exempt = address.is_loopback() || front.setup.limits.trusts(address);
    let protocol = served.protocol;
    if protocol.is_inward() && !exempt {
        log::warn!(
            "{address} is no trusted network: {} is not for it",
            protocol.as_str()
        );
        return;
    }
    let counted = (!exempt).then_some(address);
    let permit = match memory::has_room(front.setup.limits.front_memory_octets) {
        true if exempt && !matches!(protocol, Protocol::Imap | Protocol::Pop3) => {
            front.permits.take_trusted()
        }
        true => front.permits.take(counted),
        false => Err(Refused::NoMemory),
    };
    let permit = match permit {
        Ok(permit) => permit,
        Err(refused) => return refuse(socket, served, address, refused).await,
    };
    let accepted = Accepted {
        number,
        protocol,
        address,
        local,
        permit,
    };
    let result = match served.protocol {
        Protocol::Lmtp => crate::server::lmtp::serve(&front, socket, served, &accepted).await,
        Protocol::Imap => super::logins::imap(&front, socket, served, accepted).await,
        Protocol::Pop3 => super::logins::pop3(&front, socket, served, accepted).await,
        Protocol::DovecotAuth => crate::server::inward::client(&front, socket, &accepted).await,
        Protocol::DovecotUserdb => {
            let machine = Userdb::new(front.setup.limits.lmtp_idle_timeout);
            crate::server::inward::lookups(&front, socket, &accepted, machine).await
        }
        Protocol::Socketmap => {
            let machine = Socketmap::new(front.setup.limits.lmtp_idle_timeout);
            crate::server::inward::lookups(&front, socket, &accepted, machine).await
        }
    };
    if let Err(error) = result {
        log::debug!("connection from {address}: {error}");
    }
}

/// Says why not, in words or, where TLS begins at once, by an alert.
async fn refuse(socket: Socket, served: Served, address: IpAddr, refused: Refused) {
    log::warn!("connection from {address} refused: {}", door::why(refused));
    let mut transport = Transport::Plain(socket);
    let said = match served.tls {
        2 => door::ALERT.to_vec(),
        _ => door::refusal(served.protocol, refused).into_bytes(),
    };
    write(&mut transport, &said).await.ok();
    transport.close().await;
}

/// Reads the header of a proxy, not one byte more.
async fn proxied(socket: &Socket) -> io::Result<Option<IpAddr>> {
    let read = socket.read_with(|socket| {
        let mut bytes = [0u8; proxy::MAX_OCTETS];
        let (count, _) = rustix::net::recv(socket, &mut bytes[..], RecvFlags::PEEK)?;
        match proxy::header(bytes.get(..count).unwrap_or_default()) {
            proxy::Header::Client(client, octets) => {
                let header = bytes.get_mut(..octets).unwrap_or_default();
                rustix::net::recv(socket, header, RecvFlags::empty())?;
                Ok(client)
            }
            // Looked at again when more has come.
            proxy::Header::Incomplete if count > 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    });
    deadline::within(PROXY_PATIENCE, read).await
}
