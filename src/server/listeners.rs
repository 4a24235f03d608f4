//! The sockets of the listeners: bound here, or by systemd before.

use super::error::Error;
use super::layout;
use super::setup::Served;
use crate::config::{Address, Config, Listener, ListenerTls};
use crate::sys::activation::Passed;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, getsockname};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// All that clients connect to.
#[derive(Default)]
pub(super) struct Listeners {
    pub(super) all: Vec<(OwnedFd, Served)>,
    /// Files of those bound here, which go when the server does.
    pub(super) files: Vec<PathBuf>,
}

impl Listeners {
    /// One for each of the configuration, or several where systemd has several of one name. Errors: all that
    /// cannot be bound, or were not given.
    pub(super) fn open(config: &Config, mut passed: Passed) -> Result<Listeners, Error> {
        let (mut listeners, mut faults) = (Listeners::default(), Vec::new());
        for listener in &config.listeners {
            let mut sockets = given(&mut passed, &listener.address);
            if sockets.is_empty() {
                match layout::listen(listener) {
                    Ok(socket) => sockets.push(socket),
                    Err(fault) => faults.push(fault),
                }
                if let Address::Unix(path) = &listener.address {
                    listeners.files.push(path.clone());
                }
            }
            for socket in sockets {
                rustix::io::ioctl_fionbio(&socket, true).ok();
                let served = served(listener, &socket);
                listeners.all.push((socket, served));
            }
        }
        if !faults.is_empty() {
            return Err(Error::All(faults));
        }
        for name in passed.left() {
            log::warn!("the socket {name:?} of systemd is no listener of the settings");
        }
        Ok(listeners)
    }
}

/// What systemd has for this address.
fn given(passed: &mut Passed, address: &Address) -> Vec<OwnedFd> {
    match address {
        Address::Activated(name) => passed.named(name),
        Address::Tcp(address) => passed.bound_to(|own| is(own, *address)),
        Address::Unix(path) => passed.bound_to(|own| is_at(own, path)),
    }
}

fn is(own: SocketAddrAny, address: SocketAddr) -> bool {
    SocketAddr::try_from(own).is_ok_and(|own| own == address)
}

fn is_at(own: SocketAddrAny, path: &Path) -> bool {
    let own = SocketAddrUnix::try_from(own);
    own.is_ok_and(|own| own.path_bytes() == Some(path.as_os_str().as_bytes()))
}

fn served(listener: &Listener, socket: &OwnedFd) -> Served {
    let family = getsockname(socket).map(|address| address.address_family());
    Served {
        protocol: listener.protocol,
        unix: family == Ok(AddressFamily::UNIX),
        tls: match listener.tls {
            ListenerTls::None => 0,
            ListenerTls::Starttls => 1,
            ListenerTls::Implicit => 2,
        },
        proxy_protocol: listener.proxy_protocol,
    }
}

/// For a name of which systemd gave nothing.
pub(super) fn missing(name: &str) -> Error {
    let what = format!("no socket of this name came from systemd (FileDescriptorName={name})");
    Error::Listen {
        address: format!("systemd:{name}"),
        error: std::io::Error::new(ErrorKind::NotFound, what),
    }
}
