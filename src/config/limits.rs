//! Every limit by its name: value, text form, least value, meaning. One table makes the struct,
//! the generic defaults, the parser of `[limits]`, its suggestions and the printed reference.

use std::net::IpAddr;
use std::time::Duration;

use super::network::Network;

/// Most memory one verification of a password may take, in KiB. A stored hash that asks for more is refused:
/// whoever can write a line of the users file must not be able to exhaust the machine.
pub(crate) const MAX_ARGON2_MEMORY_KIB: u32 = 256 * 1024;
/// Most memory written in all passes of one verification, in KiB: some seconds of a small machine.
pub(crate) const MAX_ARGON2_WORK_KIB: u64 = 4 * 1024 * 1024;

/// Most verifications at the same time, each in a thread of its own.
pub(crate) const MAX_ARGON2_PARALLEL: u32 = 64;
/// Deepest parts within parts: each line of the innermost is compared with the boundaries of all around it.
pub(crate) const MAX_MIME_DEPTH: usize = 1000;

/// How a limit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number.
    Count,
    /// Octets, also as `64KiB` or `25MB`.
    Size,
    /// A span of time such as `30s`; counted in milliseconds.
    Duration,
}

/// A row of the table of limits.
pub(crate) struct Limit {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The least value that makes sense, in the unit of `kind`.
    pub(crate) least: u64,
    pub(crate) doc: &'static str,
    /// Returns the value in the unit of `kind`.
    pub(crate) value: fn(&Limits) -> u64,
    /// Sets the value; returns false, changing nothing, if the field cannot hold it.
    pub(crate) set: fn(&mut Limits, u64) -> bool,
}

/// A field that holds an amount in the unit of its kind.
trait Field: Sized {
    fn amount(&self) -> u64;
    fn of(amount: u64) -> Option<Self>;
}

impl Field for u32 {
    fn amount(&self) -> u64 {
        u64::from(*self)
    }
    fn of(amount: u64) -> Option<u32> {
        u32::try_from(amount).ok()
    }
}

impl Field for u64 {
    fn amount(&self) -> u64 {
        *self
    }
    fn of(amount: u64) -> Option<u64> {
        Some(amount)
    }
}

impl Field for usize {
    fn amount(&self) -> u64 {
        u64::try_from(*self).unwrap_or(u64::MAX)
    }
    fn of(amount: u64) -> Option<usize> {
        // Beyond half of the address space nothing can be held anyway.
        usize::try_from(amount)
            .ok()
            .filter(|n| *n <= usize::MAX / 2)
    }
}

impl Field for Duration {
    fn amount(&self) -> u64 {
        u64::try_from(self.as_millis()).unwrap_or(u64::MAX)
    }
    fn of(amount: u64) -> Option<Duration> {
        // A hundred years: sums with a clock stay representable.
        (amount <= 3_153_600_000_000).then(|| Duration::from_millis(amount))
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

macro_rules! limits {
    ($($name:ident: $type:ty, $kind:ident, $least:literal, $default:expr, $doc:literal;)*) => {
        /// What one client, message, user or peer may use. The default is the generic board.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(crate) struct Limits {
            $(#[doc = $doc] pub(crate) $name: $type,)*
            /// Networks exempt from limits per address and penalties, besides loopback.
            pub(crate) trusted_networks: Vec<Network>,
        }

        impl Default for Limits {
            fn default() -> Limits {
                Limits { $($name: $default,)* trusted_networks: Vec::new() }
            }
        }

        /// All limits that are one amount, in the order of the manual.
        pub(crate) const LIMITS: &[Limit] = &[$(Limit {
            name: stringify!($name),
            kind: Kind::$kind,
            least: $least,
            doc: $doc,
            value: |limits| limits.$name.amount(),
            set: |limits, amount| match <$type as Field>::of(amount) {
                Some(value) => { limits.$name = value; true }
                None => false,
            },
        },)*];
    };
}

limits! {
    max_connections: u32, Count, 1, 1000, "Connections in all.";
    max_connections_per_address: u32, Count, 1, 100, "Connections of one client address.";
    max_connections_per_user: u32, Count, 1, 100, "Sessions of one user.";
    max_login_connections: u32, Count, 1, 200, "Connections that have not logged in yet.";
    login_timeout: Duration, Duration, 1, seconds(60), "Time from connecting to a login.";
    login_bad_commands: u32, Count, 1, 3, "Wrong commands before login; the last of them ends the connection.";
    login_failures: u32, Count, 1, 5, "Failed logins on one connection; the last one ends it.";
    login_line_octets: usize, Size, 512, 8 << 10, "Length of a command line before login.";
    login_literal_octets: usize, Size, 64, 8 << 10, "Length of a literal before login; more ends the connection.";
    command_line_octets: usize, Size, 1024, 64 << 10, "Length of a command line after login.";
    literal_octets: usize, Size, 1024, 1 << 20, "Length of a literal, except the message of APPEND.";
    nonsync_literal_octets: u32, Size, 4096, 100_000_000, "Length of a literal that a client may send without waiting. At 4096 that is LITERAL- instead of LITERAL+ (RFC 7888).";
    append_messages: usize, Count, 1, 250, "Messages of one APPEND (RFC 3502); until all are filed each has a file open or, where many share a file, up to 64 KiB of memory and what large ones may have (`engine_memory_octets`).";
    message_octets: u64, Size, 1024, 100_000_000, "Length of a message in APPEND and LMTP.";
    bad_commands: u32, Count, 1, 20, "Wrong commands after login, without a right one between them; the last ends the session.";
    set_ranges: usize, Count, 10, 50_000, "Ranges in a set of messages that a command names.";
    search_keys: usize, Count, 10, 2000, "Keys of one SEARCH.";
    search_mailboxes: usize, Count, 1, 1000, "Mailboxes of one ESEARCH (RFC 7377).";
    search_contexts: usize, Count, 1, 16, "Searches of one session that are kept up to date (RFC 5267).";
    search_depth: usize, Count, 1, 50, "Depth of keys within keys of a SEARCH.";
    notify_mailboxes: usize, Count, 1, 1000, "Mailboxes whose messages one session is told of by NOTIFY (RFC 5465).";
    imap_idle_timeout: Duration, Duration, 1, seconds(1800), "Silence after which an IMAP session ends; RFC 3501 section 5.4 asks for at least 30 minutes.";
    imap_keep_alive: Duration, Duration, 1, seconds(120), "Silence of a client in IDLE, or in wait of NOTIFY where nothing tells of changes, after which it gets a sign of life and changes are looked for.";
    pop3_idle_timeout: Duration, Duration, 1, seconds(600), "Silence after which a POP3 session ends; RFC 1939 section 3 asks for at least 10 minutes.";
    lmtp_idle_timeout: Duration, Duration, 1, seconds(300), "Silence after which an LMTP session ends.";
    header_octets: usize, Size, 1024, 10 << 20, "Length of a message's header block that is looked at; the rest counts as body.";
    header_line_octets: usize, Size, 1024, 1 << 20, "Length of one field of a header that is looked at; the rest of it is left out.";
    header_addresses: usize, Count, 1, 10_000, "Addresses of one field that are told apart.";
    mime_parameters: usize, Count, 1, 128, "Parameters of one field that are told apart.";
    mime_parts: usize, Count, 1, 10_000, "Parts of a message that are told apart.";
    mime_depth: usize, Count, 1, 100, "Depth of parts within parts that are told apart, at most 1000.";
    max_recipients: u32, Count, 1, 500, "Recipients of one LMTP transaction.";
    max_transactions: u32, Count, 1, 1000, "Transactions on one LMTP connection.";
    auth_requests: usize, Count, 1, 100, "Logins that one connection of another server (dovecot-auth) waits for at the same time.";
    lmtp_filing_timeout: Duration, Duration, 1, seconds(90), "How long an engine may take to file a message, or to take more of it, before its recipients are put off.";
    lmtp_user_deliveries: u32, Count, 1, 20, "Deliveries to one user at the same time; the next is put off.";
    max_mailboxes: usize, Count, 10, 100_000, "Mailboxes of one user.";
    mailbox_name_octets: usize, Size, 64, 4096, "Length of the name of a new mailbox.";
    mailbox_depth: usize, Count, 2, 32, "Levels in the name of a new mailbox.";
    max_keywords: usize, Count, 1, 500, "Different keywords in one mailbox.";
    metadata_entries: usize, Count, 10, 100, "Annotations of one mailbox, or of the account (RFC 5464).";
    metadata_octets: usize, Size, 1024, 16 << 10, "Length of the value of an annotation.";
    mdbox_rotate_octets: u32, Size, 65_536, 10 << 20, "Length at which a file of mdbox gets no more messages.";
    expunge_history: u32, Count, 1, 1000, "Expunges of one mailbox that are remembered (RFC 7162); a client that was away longer is told every UID that is missing.";
    scrub_octets: u32, Size, 4096, 20 << 20, "Octets of messages that `dovelet doctor --scrub` reads in a second.";
    step_messages: usize, Count, 1, 1024, "Messages that COPY, MOVE, STORE or EXPUNGE takes at a time; in between other sessions have their turns.";
    argon2_memory_kib: u32, Count, 8, 19_456, "KiB of memory for hashing a new password (argon2id).";
    argon2_passes: u32, Count, 1, 2, "Passes over that memory.";
    argon2_parallel: u32, Count, 1, 2, "Passwords hashed at the same time, at most 64.";
    argon2_queue: u32, Count, 0, 64, "Logins that wait for their password to be hashed; the next is refused for now.";
    scram_iterations: u32, Count, 4096, 10_000, "Iterations for a new password that is stored for SCRAM, and for one that is stored as it is (RFC 7677 section 4).";
    login_failure_delay: Duration, Duration, 0, seconds(2), "Delay of the answer to a failed login; doubled for each further failure of that address.";
    login_failure_delay_max: Duration, Duration, 0, seconds(15), "The longest delay; an address that fails on is refused.";
    index_cache_octets: usize, Size, 65_536, 2 << 20, "Memory for one user's index.";
    cache_mailbox_octets: u64, Size, 4096, 1 << 30, "Octets of what the index keeps of one mailbox's messages for lists: envelopes, structures, common header fields, previews; beyond it the oldest are read again when they are asked for.";
    cache_user_octets: u64, Size, 4096, 4 << 30, "The same for all mailboxes of a user.";
    cache_unused_time: Duration, Duration, 1000, seconds(30 * 86_400), "Time after which the index keeps no more of a mailbox's messages what nobody asks for.";
    sort_octets: usize, Size, 65_536, 32 << 20, "Memory for one SORT, which goes on in a file, or one THREAD, which is refused.";
    blocking_threads: u32, Count, 1, 4, "Threads of a process that wait for the disk.";
    stack_octets: usize, Size, 65_536, 512 << 10, "Stack of a thread.";
    engine_memory_octets: usize, Size, 4_194_304, 128 << 20, "Memory of a process that has mail, its stacks and indexes included; near it new sessions and deliveries are refused, at it the process begins anew. Large messages that come to mdbox or sdbox may have a sixteenth of it, one of them a quarter of that; beyond it they are written to a file first.";
    front_memory_octets: usize, Size, 4_194_304, 128 << 20, "Memory of the process that has the connections before login, all of LMTP and all of TLS; near it new ones are refused, at it the process begins anew.";
    auth_memory_octets: usize, Size, 4_194_304, 320 << 20, "Memory of the process that has the users; a password that takes more to check is not checked.";
    engine_idle_timeout: Duration, Duration, 1, seconds(60), "Time without a session after which a user's process ends.";
}

impl Limits {
    /// Returns whether `ip` is exempt from limits per address and from penalties.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        ip.to_canonical().is_loopback() || self.trusted_networks.iter().any(|n| n.contains(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_named_networks_are_trusted() {
        let mut limits = Limits::default();
        limits
            .trusted_networks
            .push("192.0.2.0/24".parse().unwrap());
        let cases = [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.77", true),
            ("::ffff:192.0.2.77", true),
            ("192.0.3.1", false),
            ("2001:db8::1", false),
        ];
        for (ip, expected) in cases {
            assert_eq!(limits.trusts(ip.parse().unwrap()), expected, "{ip}");
        }
    }

    #[test]
    fn every_limit_can_be_set_and_read() {
        for limit in LIMITS {
            let mut limits = Limits::default();
            let before = (limit.value)(&limits);
            assert!(before >= limit.least, "{}", limit.name);
            assert!((limit.set)(&mut limits, before + 1), "{}", limit.name);
            assert_eq!((limit.value)(&limits), before + 1, "{}", limit.name);
            assert_ne!(limits, Limits::default());
        }
    }

    #[test]
    fn amounts_beyond_a_field_are_refused() {
        // Into these every amount goes.
        let whole = [
            "message_octets",
            "cache_mailbox_octets",
            "cache_user_octets",
        ];
        for limit in LIMITS.iter().filter(|l| !whole.contains(&l.name)) {
            let mut limits = Limits::default();
            assert!(!(limit.set)(&mut limits, u64::MAX), "{}", limit.name);
            assert_eq!(limits, Limits::default());
        }
    }
}
