//! The tables `[[listener]]`.

use std::net::{IpAddr, SocketAddr};

use super::document::quoted;
use super::manual::LISTENER;
use super::model::{Address, Listener, ListenerTls, Protocol};
use super::parse::Inspect;
use super::reader::{Part, Reader, no_choice};

const PROTOCOLS: [&str; 6] = [
    "imap",
    "pop3",
    "lmtp",
    "dovecot-auth",
    "dovecot-userdb",
    "socketmap",
];

/// A protocol this server is to speak but does not yet.
const NOT_SERVED: [&str; 1] = ["managesieve"];

const TLS: [(&str, ListenerTls); 3] = [
    ("none", ListenerTls::None),
    ("starttls", ListenerTls::Starttls),
    ("implicit", ListenerTls::Implicit),
];

/// The longest path of a socket: `sun_path` of Linux without the NUL at its end.
const MAX_SOCKET_PATH_OCTETS: usize = 107;

/// All listeners; none if the file has no word about them.
/// `inspect`: a group that this machine does not have is a fault, too.
pub(super) fn read(
    reader: &mut Reader<'_>,
    top: &Part<'_>,
    inspect: Option<Inspect>,
) -> Option<Vec<Listener>> {
    let parts = reader.tables(top, LISTENER)?;
    let mut listeners: Vec<Listener> = Vec::new();
    let mut places = Vec::new();
    for part in &parts {
        let Some(listener) = listener(reader, part, inspect) else {
            continue;
        };
        let at = part.table.node("address").map_or(part.at, |node| node.at);
        let same = |other: &Listener| collide(&other.address, &listener.address);
        if let Some(first) = listeners.iter().position(same).and_then(|i| places.get(i)) {
            let line = reader.faults.line(*first);
            let message = format!("the listener of line {line} has this address already");
            reader.faults.add(at, message);
        }
        listeners.push(listener);
        places.push(at);
    }
    Some(listeners)
}

/// Whether both cannot be bound.
fn collide(a: &Address, b: &Address) -> bool {
    match (a, b) {
        (Address::Tcp(a), Address::Tcp(b)) => {
            let family = a.is_ipv4() == b.is_ipv4();
            let every = |ip: IpAddr| ip.is_unspecified();
            // With port 0 the kernel chooses one.
            a.port() == b.port()
                && a.port() != 0
                && family
                && (a.ip() == b.ip() || every(a.ip()) || every(b.ip()))
        }
        (a, b) => a == b,
    }
}

fn listener(
    reader: &mut Reader<'_>,
    part: &Part<'_>,
    inspect: Option<Inspect>,
) -> Option<Listener> {
    let protocol = protocol(reader, part);
    let address = address(reader, part);
    let tls = reader.word(part, "tls", &TLS);
    let proxy_protocol = reader.flag(part, "proxy_protocol").unwrap_or(false);
    let protocol = reader.required(part, "protocol", protocol);
    let address = reader.required(part, "address", address);
    if let (Some(tls), Some(node)) = (tls, part.table.node("tls"))
        && let Some(message) = refusal(address.as_ref(), tls)
    {
        reader.faults.add(node.at, message);
    }
    let (protocol, address) = (protocol?, address?);
    let (mode, group) = access(reader, part, protocol, &address, inspect);
    if protocol.is_inward() && !matches!(tls, None | Some(ListenerTls::None)) {
        let at = part.table.node("tls").map_or(part.at, |node| node.at);
        let message = format!("{} has no TLS; write \"none\"", quoted(protocol.as_str()));
        reader.faults.add(at, message);
    }
    let tls = tls.unwrap_or(match (protocol, &address) {
        (Protocol::Imap | Protocol::Pop3, Address::Tcp(_) | Address::Activated(_)) => {
            ListenerTls::Starttls
        }
        _ => ListenerTls::None,
    });
    Some(Listener {
        protocol,
        address,
        tls,
        proxy_protocol,
        mode,
        group,
    })
}

/// Who may connect to a unix socket.
fn access(
    reader: &mut Reader<'_>,
    part: &Part<'_>,
    protocol: Protocol,
    address: &Address,
    inspect: Option<Inspect>,
) -> (u32, Option<String>) {
    for key in ["mode", "group"] {
        if let (false, Some(node)) = (matches!(address, Address::Unix(_)), part.table.node(key)) {
            let message = format!("only a unix socket has a `{key}`");
            reader.faults.add(node.at, message);
        }
    }
    let group = reader.text(part, "group").map(|(at, name)| {
        if inspect.is_some_and(|inspect| !(inspect.group)(name)) {
            let message = format!("this machine has no group {}", quoted(name));
            reader.faults.add(at, message);
        }
        name.to_owned()
    });
    let usual = match &group {
        Some(_) if protocol.is_inward() => 0o660,
        _ => protocol.usual_mode(),
    };
    let mode = reader.text(part, "mode").and_then(|(at, text)| {
        let octal = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let mode = u32::from_str_radix(text, 8).ok();
        let mode = mode.filter(|mode| octal && *mode <= 0o777);
        if mode.is_none() {
            let message = format!("{} is no mode; write \"0660\"", quoted(text));
            reader.faults.add(at, message);
        }
        mode
    });
    (mode.unwrap_or(usual), group)
}

/// Why `tls` does not go with the rest.
fn refusal(address: Option<&Address>, tls: ListenerTls) -> Option<&'static str> {
    match (address, tls) {
        (Some(Address::Unix(_)), ListenerTls::Starttls | ListenerTls::Implicit) => {
            Some("a unix socket has no TLS; write \"none\"")
        }
        _ => None,
    }
}

fn protocol(reader: &mut Reader<'_>, part: &Part<'_>) -> Option<Protocol> {
    let (at, text) = reader.text(part, "protocol")?;
    let served = Protocol::ALL.into_iter().find(|p| p.as_str() == text);
    if served.is_some() {
        return served;
    }
    let message = match text {
        other if NOT_SERVED.contains(&other) => format!(
            "{} is not served yet; write \"imap\", \"pop3\" or \"lmtp\"",
            quoted(other)
        ),
        other => no_choice("protocol", other, &PROTOCOLS),
    };
    reader.faults.add(at, message);
    None
}

fn address(reader: &mut Reader<'_>, part: &Part<'_>) -> Option<Address> {
    let (at, text) = reader.text(part, "address")?;
    if let Some(name) = text.strip_prefix("systemd:") {
        return activated(reader, at, name);
    }
    let Some(path) = text.strip_prefix("unix:") else {
        let address: Option<SocketAddr> = text.parse().ok();
        if address.is_none() {
            reader.faults.add(at, no_address(text));
        }
        return address.map(Address::Tcp);
    };
    let path = reader.checked_path(at, "address", path)?;
    if path.as_os_str().len() > MAX_SOCKET_PATH_OCTETS {
        let message = format!("the path of a socket has at most {MAX_SOCKET_PATH_OCTETS} octets");
        reader.faults.add(at, message);
        return None;
    }
    Some(Address::Unix(path))
}

/// As systemd.socket(5) takes names of descriptors.
fn activated(reader: &mut Reader<'_>, at: usize, name: &str) -> Option<Address> {
    let good = |b: u8| b.is_ascii_graphic() && b != b':';
    if (1..=255).contains(&name.len()) && name.bytes().all(good) {
        return Some(Address::Activated(name.to_owned()));
    }
    let message = "the name of a socket of systemd has 1 to 255 characters, none of them \":\"";
    reader.faults.add(at, message);
    None
}

fn no_address(text: &str) -> String {
    let quoted = quoted(text);
    let port = text.rsplit(':').next().unwrap_or_default();
    if text.parse::<IpAddr>().is_ok() {
        format!("{quoted} has no port; write \"127.0.0.1:143\" or \"[::1]:143\"")
    } else if text.starts_with('/') || text.starts_with('.') {
        format!("{quoted} is no address; write \"unix:{text}\" for a socket in the file system")
    } else if port.parse::<u16>().is_ok() && (text.starts_with(['*', ':']) || text == port) {
        format!("{quoted} is no address; write \"[::]:{port}\" or \"0.0.0.0:{port}\" for all")
    } else {
        format!(
            "{quoted} is no address; write an IP address with a port, such as \"127.0.0.1:1143\" or \"[::]:143\", or \"unix:PATH\""
        )
    }
}
