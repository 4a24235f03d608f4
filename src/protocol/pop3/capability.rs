//! What a client is told that it may use (RFC 2449 section 5).

use crate::config::Mechanisms;

/// When a capability is listed. The same before login and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    StartTls,
    /// Logins have to be apart.
    Delayed,
    /// A password may be sent.
    Password,
}

/// One line of the answer to CAPA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capability {
    pub(crate) name: &'static str,
    /// Where it is defined.
    pub(crate) rfc: u16,
    when: When,
}

/// Told with the mechanisms there are.
const SASL: &str = "SASL";
/// Told with the seconds (RFC 2449 section 6.5).
const DELAY: &str = "LOGIN-DELAY";

const fn capability(name: &'static str, rfc: u16, when: When) -> Capability {
    Capability { name, rfc, when }
}

/// Everything this server can say, in the order in which it does.
pub(crate) const CAPABILITIES: &[Capability] = &[
    capability("TOP", 1939, When::Always),
    capability("UIDL", 1939, When::Always),
    capability("RESP-CODES", 2449, When::Always),
    capability("AUTH-RESP-CODE", 3206, When::Always),
    capability("PIPELINING", 2449, When::Always),
    capability("EXPIRE NEVER", 2449, When::Always),
    capability(DELAY, 2449, When::Delayed),
    capability("UTF8", 6856, When::Always),
    capability("LANG", 6856, When::Always),
    capability("STLS", 2595, When::StartTls),
    capability("USER", 1939, When::Password),
    capability(SASL, 5034, When::Password),
];

/// How the connection stands or, after login, stood when the client logged in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Situation {
    pub(super) starttls: bool,
    pub(super) password: bool,
    pub(super) mechanisms: Mechanisms,
    /// From a login to the next one of the user, at least.
    pub(super) delay_seconds: u32,
}

impl Capability {
    /// When it is listed, for people.
    pub(crate) fn offered(&self) -> &'static str {
        match self.when {
            When::Always => "always",
            When::StartTls => "until TLS",
            When::Delayed => "where the settings have `login_delay`",
            When::Password => "with TLS or from loopback",
        }
    }

    fn listed(&self, now: Situation) -> bool {
        match self.when {
            When::Always => true,
            When::StartTls => now.starttls,
            When::Delayed => now.delay_seconds > 0,
            When::Password if self.name == SASL => {
                now.password && now.mechanisms != Mechanisms::default()
            }
            When::Password => now.password,
        }
    }
}

/// Appends ` PLAIN LOGIN`.
fn mechanisms(offered: Mechanisms, out: &mut Vec<u8>) {
    for mechanism in offered.iter() {
        out.push(b' ');
        out.extend_from_slice(mechanism.name().as_bytes());
    }
}

/// Appends the answer to CAPA.
pub(super) fn capabilities(now: Situation, out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK Capability list follows\r\n");
    for capability in CAPABILITIES.iter().filter(|c| c.listed(now)) {
        out.extend_from_slice(capability.name.as_bytes());
        if capability.name == SASL {
            mechanisms(now.mechanisms, out);
        }
        if capability.name == DELAY {
            out.extend_from_slice(format!(" {}", now.delay_seconds).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
}

/// Appends the answer to AUTH without a mechanism, which some clients ask for instead of CAPA.
pub(super) fn mechanism_list(offered: Mechanisms, out: &mut Vec<u8>) {
    out.extend_from_slice(b"+OK Mechanisms follow\r\n");
    for mechanism in offered.iter() {
        out.extend_from_slice(mechanism.name().as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
}
