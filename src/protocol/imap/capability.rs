//! What a client is told that it may use.

use super::table::{RULES, Rule};
use crate::config::{Mechanism, Mechanisms};
use crate::wire::imap::number;

/// When a capability is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// RFC 7888 section 5: one of the two, never both.
    LiteralPlus,
    LiteralMinus,
    /// Before login only.
    Login,
    /// After login only.
    Session,
    StartTls,
    /// A password may be sent now, and this can be used to do it.
    Mechanism(Mechanism),
    /// No password may be sent now.
    NoPassword,
}

/// One word of the capability line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capability {
    pub(crate) name: &'static str,
    /// Where it is defined; 0: in no RFC.
    pub(crate) rfc: u16,
    when: When,
    /// The command it adds, if that is all it is about.
    command: Option<&'static str>,
}

const fn capability(
    name: &'static str,
    rfc: u16,
    when: When,
    command: Option<&'static str>,
) -> Capability {
    Capability {
        name,
        rfc,
        when,
        command,
    }
}

const fn mechanism(name: &'static str, rfc: u16, mechanism: Mechanism) -> Capability {
    capability(name, rfc, When::Mechanism(mechanism), Some("AUTHENTICATE"))
}

/// Of drafts and of what Dovecot had first.
const NO_RFC: u16 = 0;

/// The longest non-synchronizing literal of LITERAL- (RFC 7888 section 5).
const LITERAL_MINUS: u64 = 4096;

/// Told with its value (RFC 7889 section 2).
const APPENDLIMIT: &str = "APPENDLIMIT";

/// Everything this server can say, in the order of the capability line.
pub(crate) const CAPABILITIES: &[Capability] = &[
    capability("IMAP4rev1", 3501, When::Always, None),
    capability("IMAP4rev2", 9051, When::Always, None),
    capability("SASL-IR", 4959, When::Always, None),
    capability("LITERAL+", 7888, When::LiteralPlus, None),
    capability("LITERAL-", 7888, When::LiteralMinus, None),
    capability("ID", 2971, When::Always, Some("ID")),
    capability("LOGIN-REFERRALS", 2221, When::Login, None),
    capability("ENABLE", 5161, When::Always, Some("ENABLE")),
    capability("IDLE", 2177, When::Always, Some("IDLE")),
    capability("UTF8=ACCEPT", 6855, When::Session, None),
    capability("UIDONLY", 9586, When::Session, None),
    capability("UIDBATCHES", 10022, When::Session, Some("UIDBATCHES")),
    capability("NAMESPACE", 2342, When::Session, Some("NAMESPACE")),
    capability("UIDPLUS", 4315, When::Session, Some("UID EXPUNGE")),
    capability("UNSELECT", 3691, When::Session, Some("UNSELECT")),
    capability("CHILDREN", 3348, When::Session, None),
    capability("MOVE", 6851, When::Session, Some("MOVE")),
    capability("COMPRESS=DEFLATE", 4978, When::Session, Some("COMPRESS")),
    capability("MULTIAPPEND", 3502, When::Session, None),
    capability("CATENATE", 4469, When::Session, None),
    capability("URL-PARTIAL", 5550, When::Session, None),
    capability("BINARY", 3516, When::Session, None),
    capability("REPLACE", 8508, When::Session, Some("REPLACE")),
    capability(APPENDLIMIT, 7889, When::Session, None),
    capability("CONDSTORE", 7162, When::Session, None),
    capability("QRESYNC", 7162, When::Session, None),
    capability("ESEARCH", 4731, When::Session, None),
    capability("SEARCHRES", 5182, When::Session, None),
    capability("CONTEXT=SEARCH", 5267, When::Session, Some("CANCELUPDATE")),
    capability("WITHIN", 5032, When::Session, None),
    capability("PARTIAL", 9394, When::Session, None),
    capability("OBJECTID", 8474, When::Session, None),
    capability("SAVEDATE", 8514, When::Session, None),
    capability("PREVIEW", 8970, When::Session, None),
    capability("PREVIEW=FUZZY", NO_RFC, When::Session, None),
    capability("SNIPPET=FUZZY", NO_RFC, When::Session, None),
    capability("SORT", 5256, When::Session, Some("SORT")),
    capability("SORT=DISPLAY", 5957, When::Session, Some("SORT")),
    capability("ESORT", 5267, When::Session, Some("SORT")),
    capability("THREAD=ORDEREDSUBJECT", 5256, When::Session, Some("THREAD")),
    capability("THREAD=REFERENCES", 5256, When::Session, Some("THREAD")),
    capability("THREAD=REFS", NO_RFC, When::Session, Some("THREAD")),
    capability("I18NLEVEL=1", 5255, When::Session, None),
    capability("LIST-EXTENDED", 5258, When::Session, None),
    capability("LIST-STATUS", 5819, When::Session, None),
    capability("LIST-METADATA", 9590, When::Session, Some("GETMETADATA")),
    capability("METADATA", 5464, When::Session, Some("SETMETADATA")),
    capability("METADATA-SERVER", 5464, When::Session, Some("SETMETADATA")),
    capability("NOTIFY", 5465, When::Session, Some("NOTIFY")),
    capability("MULTISEARCH", 7377, When::Session, Some("ESEARCH")),
    capability("INPROGRESS", 9585, When::Session, Some("SEARCH")),
    capability("STATUS=SIZE", 8438, When::Session, None),
    capability("SPECIAL-USE", 6154, When::Session, None),
    capability("CREATE-SPECIAL-USE", 6154, When::Session, None),
    capability("STARTTLS", 3501, When::StartTls, Some("STARTTLS")),
    capability("LOGINDISABLED", 3501, When::NoPassword, None),
    mechanism("AUTH=PLAIN", 4616, Mechanism::Plain),
    mechanism("AUTH=LOGIN", NO_RFC, Mechanism::Login),
    mechanism("AUTH=SCRAM-SHA-256-PLUS", 7677, Mechanism::ScramSha256Plus),
    mechanism("AUTH=SCRAM-SHA-256", 7677, Mechanism::ScramSha256),
    mechanism("AUTH=SCRAM-SHA-1-PLUS", 5802, Mechanism::ScramSha1Plus),
    mechanism("AUTH=SCRAM-SHA-1", 5802, Mechanism::ScramSha1),
    mechanism("AUTH=CRAM-MD5", 2195, Mechanism::CramMd5),
    mechanism("AUTH=EXTERNAL", 4422, Mechanism::External),
    mechanism("AUTH=ANONYMOUS", 4505, Mechanism::Anonymous),
];

/// The state a capability line is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation {
    pub(super) logged_in: bool,
    pub(super) starttls: bool,
    pub(super) password: bool,
    pub(super) mechanisms: Mechanisms,
    /// Octets of a literal that does not wait.
    pub(super) nonsync_octets: u64,
    /// Octets of a message; told after login.
    pub(super) append_limit: u64,
}

impl Capability {
    /// When it is listed, for people.
    pub(crate) fn offered(&self) -> &'static str {
        match self.when {
            When::Always => "always",
            When::LiteralPlus => "always, unless LITERAL- is",
            When::LiteralMinus => "where only short literals may be sent without waiting",
            When::Login => "before login",
            When::Session => "after login",
            When::StartTls => "before login, until TLS",
            When::Mechanism(Mechanism::Plain | Mechanism::Login) => {
                "before login, with TLS or from loopback"
            }
            When::Mechanism(mechanism) if mechanism.binds() => {
                "before login, with TLS, if users can use it"
            }
            When::Mechanism(Mechanism::External) => {
                "before login, with TLS, if the client has shown a certificate"
            }
            When::Mechanism(Mechanism::Anonymous) => {
                "before login, with TLS or from loopback, if the settings have `anonymous_user`"
            }
            When::Mechanism(_) => "before login, with TLS or from loopback, if users can use it",
            When::NoPassword => "before login, without TLS",
        }
    }

    fn listed(&self, now: Situation) -> bool {
        let served = |name: &str| RULES.iter().any(|rule: &Rule| rule.name == name);
        let right = match self.when {
            When::Always => true,
            When::LiteralPlus => now.nonsync_octets > LITERAL_MINUS,
            When::LiteralMinus => now.nonsync_octets <= LITERAL_MINUS,
            When::Login => !now.logged_in,
            When::Session => now.logged_in,
            When::StartTls => !now.logged_in && now.starttls,
            When::Mechanism(mechanism) => {
                !now.logged_in && now.password && now.mechanisms.contains(mechanism)
            }
            When::NoPassword => !now.logged_in && !now.password,
        };
        right && self.command.is_none_or(served)
    }
}

/// Appends `CAPABILITY IMAP4rev1 ...` (RFC 3501 section 7.2.1).
pub(super) fn capability_line(now: Situation, out: &mut Vec<u8>) {
    out.extend_from_slice(b"CAPABILITY");
    for capability in CAPABILITIES.iter().filter(|c| c.listed(now)) {
        out.push(b' ');
        out.extend_from_slice(capability.name.as_bytes());
        if capability.name == APPENDLIMIT {
            out.push(b'=');
            number(now.append_limit, out);
        }
    }
}
