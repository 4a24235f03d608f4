//! The manual of all settings. The same table says which names the parser knows.

use super::bounds;
use super::limits::LIMITS;

/// A table of the settings file.
pub(super) struct Section {
    /// As in its header; empty for what stands before any header.
    pub(super) name: &'static str,
    /// `[[NAME]]`, any number of times.
    pub(super) list: bool,
    doc: &'static str,
    keys: &'static [Key],
}

struct Key {
    name: &'static str,
    /// A TOML value.
    value: &'static str,
    /// Whether `value` holds without this setting; if not, it is an example.
    default: bool,
    doc: &'static str,
}

const fn default(name: &'static str, value: &'static str, doc: &'static str) -> Key {
    Key {
        name,
        value,
        default: true,
        doc,
    }
}

const fn example(name: &'static str, value: &'static str, doc: &'static str) -> Key {
    Key {
        name,
        value,
        default: false,
        doc,
    }
}

pub(super) const TOP: &Section = &Section {
    name: "",
    list: false,
    doc: "",
    keys: &[
        example(
            "data_dir",
            "\"/var/lib/dovelet\"",
            "Where mail, index and users are kept. Without it: /var/lib/dovelet as root, else ./dovelet-data.",
        ),
        example(
            "hostname",
            "\"mail.example.org\"",
            "The name of this server in greetings and Received fields. Without it: the name of the machine.",
        ),
        default(
            "board",
            "\"generic\"",
            "The profile that supplies isolation and limits: generic, nas, raspberrypi, openwrt-128, openwrt-64.",
        ),
        default(
            "isolation",
            "\"user\"",
            "\"user\": a process for each active user. \"shared\": one process for all, for small machines.",
        ),
    ],
};

pub(super) const LISTENER: &Section = &Section {
    name: "listener",
    list: true,
    doc: "Where clients connect. Without any listener: IMAP on 127.0.0.1:1143 (starttls) and \
          127.0.0.1:1993 (implicit), POP3 on 127.0.0.1:1110 (starttls) and 127.0.0.1:1995 (implicit), LMTP on \
          127.0.0.1:1024.",
    keys: &[
        example(
            "protocol",
            "\"imap\"",
            "\"imap\", \"pop3\" or \"lmtp\". By \"dovecot-auth\" other servers on this machine ask who somebody is: \
             Postfix with smtpd_sasl_type = dovecot, Exim with driver = dovecot. By \"dovecot-userdb\" they ask where \
             users are (USER, PASS, LIST), by \"socketmap\" Postfix which addresses there are. These are for unix sockets, for loopback and for trusted_networks: nobody \
             else is heard.",
        ),
        example(
            "address",
            "\"[::]:143\"",
            "An IP address with a port, \"unix:PATH\", or \"systemd:NAME\" for sockets that systemd gives under this \
             name (FileDescriptorName=). Where systemd gives a socket of that address, it is taken in any case.",
        ),
        example(
            "tls",
            "\"starttls\"",
            "\"none\", \"starttls\" or \"implicit\". Without it: \"starttls\" for IMAP and POP3 over TCP, else \"none\".",
        ),
        default(
            "proxy_protocol",
            "false",
            "Whether every connection begins with a PROXY protocol header.",
        ),
        example(
            "mode",
            "\"0660\"",
            "Permissions of a unix socket. Without it: 0600 for dovecot-auth, dovecot-userdb and socketmap, 0660 if \
             there is a group; else 0666.",
        ),
        example(
            "group",
            "\"postfix\"",
            "The group of a unix socket, whose members may connect.",
        ),
    ],
};

pub(super) const TLS: &Section = &Section {
    name: "tls",
    list: false,
    doc: "Without a certificate one is made at the first start.",
    keys: &[
        example(
            "certificate",
            "\"/etc/ssl/mail.pem\"",
            "PEM file with the certificate and its chain.",
        ),
        example(
            "key",
            "\"/etc/ssl/mail.key\"",
            "PEM file with the private key.",
        ),
        example(
            "client_ca",
            "\"/etc/ssl/users.pem\"",
            "PEM file with the certificates of those who vouch for users. Clients are then asked for certificates, and \
             whoever shows a good one, with TLS 1.3, may log in by EXTERNAL, if [auth] mechanisms has it: as the user of \
             the name in it, without a password. A user who may not log in (!) may not so either. There are no \
             lists of what was revoked: give certificates short lives.",
        ),
        default(
            "client_name",
            "\"common-name\"",
            "Where in a client's certificate the name of the user is: \"common-name\", of its subject, or \"email\", the \
             mail address among its alternative names. There has to be one, and one only.",
        ),
    ],
};

pub(super) const TLS_NAME: &Section = &Section {
    name: "tls.name",
    list: true,
    doc: "A further certificate, for clients that ask for this server name.",
    keys: &[
        example(
            "name",
            "\"imap.example.org\"",
            "The server name; \"*.example.org\" stands for all names one level below.",
        ),
        example("certificate", "\"/etc/ssl/imap.pem\"", "As in [tls]."),
        example("key", "\"/etc/ssl/imap.key\"", "As in [tls]."),
    ],
};

pub(super) const STORAGE: &Section = &Section {
    name: "storage",
    list: false,
    doc: "How and where mail is kept.",
    keys: &[
        default(
            "format",
            "\"maildir\"",
            "\"maildir\": Maildir++ directories. \"mbox\": a file for each mailbox, which other programs may write too. \"sdbox\": a file for each message, \"mdbox\": many messages in each file; \
             Dovecot reads the files, but not the logs beside them that have flags. Mail that is there already is \
             not converted.",
        ),
        default(
            "compression",
            "\"none\"",
            "How new messages are compressed: \"none\", \"gzip\", \"zstd\", \"lz4\". All are read, whatever is said here, and              Dovecot reads them with its plugin zlib. Not in mbox.",
        ),
        default(
            "layout",
            "\"maildir++\"",
            "How mailboxes of a Maildir lie in its directory: \"maildir++\", where a/b is .a.b, or \"fs\", where it is a/b, \
             as with Dovecot's LAYOUT=fs. Mailboxes that are there in the other way are not seen.",
        ),
        default(
            "info_separator",
            "\":\"",
            "What separates the name of a message of a Maildir from its flags: \":\"; or, where the file system takes \
             none in names (FAT, exFAT, some network drives), \";\" or \"!\". All are read. Dovecot reads \":\" alone.",
        ),
        default(
            "path",
            "\"{data_dir}/mail/{user}\"",
            "The directory of a user's mail. {user} is the login name, {local_part} and {domain} what stands \
             before and behind its last @, {home} the home directory in the user source.",
        ),
        example(
            "inbox",
            "\"/var/mail/{user}\"",
            "mbox: the file of INBOX, with the variables of path. Without it: inbox among the others. A server \
             that root started makes the file if it is not there; where a user may make none beside it, there is \
             no FILE.lock, and the locks of fcntl(2) and flock(2) have to do.",
        ),
        example(
            "attachments",
            "\"/var/attachments\"",
            "The directory in which Dovecot kept attachments apart from messages of sdbox and mdbox: its              mail_attachment_dir. They are read; new messages are whole, and attachments of messages that are              expunged stay.",
        ),
        example(
            "alternate",
            "\"/slow/{user}\"",
            "mdbox: the directory of messages that \"dovelet altmove\" puts aside, or Dovecot did (its ALT), with the variables of path. \
             Messages are read from both places.",
        ),
        default(
            "unfit_file_system",
            "\"warn\"",
            "What \"serve\" does if data_dir or the mail is on a file system that is no place for mail (memory, the \
             flash memory of a router, a layer of a container; see \"dovelet help check-data\"): \"warn\", \
             \"refuse\" or \"ignore\". With --uci: \"refuse\".",
        ),
    ],
};

pub(super) const NAMESPACE: &Section = &Section {
    name: "namespace",
    list: true,
    doc: "Mailboxes whose names begin so are kept elsewhere, in a format of their own, as with Dovecot's namespaces of \
          type private. The prefix without its / is a mailbox, too, which is always there: what is INBOX in that \
          place. Mailboxes of [storage] with such names are not seen as long as there is the namespace; \"dovelet \
          doctor\" names them. Settings that are left out are as in [storage], but for path, inbox and alternate. At \
          most 16.",
    keys: &[
        example(
            "prefix",
            "\"Archive/\"",
            "What names begin with, with / at its end; at most 255 octets. None begins with that of another.",
        ),
        example(
            "path",
            "\"{home}/archive\"",
            "The directory, with the variables of path in [storage]. It is apart from the places of [storage] and of other \
             namespaces.",
        ),
        example("format", "\"mdbox\"", "As in [storage]."),
        example("compression", "\"zstd\"", "As in [storage]."),
        example("layout", "\"fs\"", "As in [storage]."),
        example("info_separator", "\":\"", "As in [storage]."),
        example(
            "inbox",
            "\"/var/archive/{user}\"",
            "mbox: the file of the mailbox that has the name of the prefix. Without it: inbox among the others.",
        ),
        example("alternate", "\"/slow/{user}\"", "As in [storage]."),
    ],
};

pub(super) const USERS: &Section = &Section {
    name: "users",
    list: true,
    doc: "Where users are looked up, in this order.",
    keys: &[
        default(
            "source",
            "\"file\"",
            "A file of lines user:{SCHEME}hash:uid:gid:gecos:home:shell:extra. Of the words in extra, \
             userdb_mail=FORMAT:PATH[:INBOX=FILE][:ALT=DIRECTORY][:LAYOUT=LAYOUT], or userdb_mail_driver, userdb_mail_path, \
             userdb_mail_inbox_path, userdb_mail_alt_path and userdb_mailbox_list_layout, say for that user what [storage] says for all, in Dovecot's words (~, %u, %n, %d, %h).",
        ),
        example(
            "path",
            "\"/etc/dovelet/users\"",
            "The file. Without it: users in data_dir.",
        ),
    ],
};

pub(super) const AUTH: &Section = &Section {
    name: "auth",
    list: false,
    doc: "How clients log in, and how passwords are stored.",
    keys: &[
        default(
            "mechanisms",
            "\"auto\"",
            "The SASL mechanisms that are offered, if anybody can use them: of \"plain\", \"login\", \
             \"scram-sha-256\", \"scram-sha-1\", \"cram-md5\", \"external\" (for that see client_ca in [tls]) and \"anonymous\" (see anonymous_user). SCRAM can be used by whoever has a password stored by \
             its scheme of that name, or as it is ({PLAIN}), CRAM-MD5 by the latter and by {CRAM-MD5}. With TLS, SCRAM is offered \
             with channel binding, too. \"auto\": plain and login, and SCRAM if everybody can use it, as many mail \
             programs try nothing else where it is offered; anonymous, if there is an anonymous_user.",
        ),
        default(
            "scheme",
            "\"argon2id\"",
            "How a password is stored: \"argon2id\", which is hardest to guess from a stolen file, or \
             \"scram-sha-256\", with which SCRAM can be used.",
        ),
        default(
            "rehash",
            "false",
            "Whether a password that is stored otherwise is stored by this scheme as soon as its user sends it to log \
             in; other fields stay, and so do keys for SCRAM. CRAM-MD5 and APOP need passwords as they are ({PLAIN}).",
        ),
        default(
            "master_users",
            "[]",
            "Users who may log in as any other, with their own passwords: as \"ann*root\", or with ann as the \
             authorization identity of SASL. Each such login is in the log.",
        ),
        default(
            "master_separator",
            "\"*\"",
            "What stands between the user and the master user in such a name: \"*\", \"%\" or \"/\".",
        ),
        example(
            "anonymous_user",
            "\"archive\"",
            "The user whose mail is public: whoever logs in by ANONYMOUS may read it by IMAP and POP3, and change nothing. \
             What such a client says of itself is in the log. Who logs in as this user by other means may do what users may.",
        ),
    ],
};

pub(super) const IMAP: &Section = &Section {
    name: "imap",
    list: false,
    doc: "How IMAP is spoken. Headers in UTF-8 (RFC 6855) go out as they are, and come in by APPEND also from \
          clients that did not enable UTF8=ACCEPT, unlike section 4 of it has it: old mail has such headers, and who \
          moves it here must not lose it. A message that becomes shorter while it is sent ends the session.",
    keys: &[
        example(
            "admin",
            "\"mailto:postmaster@example.org\"",
            "How to reach you, a URI; clients find it as /shared/admin (RFC 5464).",
        ),
        default(
            "fetch_failure",
            "\"no-after\"",
            "What follows when a message that a client fetches cannot be read. \"no-after\": the others are told, \
             then NO says that some are missing, as often as the client asks. \"disconnect-after\": the others are \
             told, then the session ends, for clients that take no notice of NO and hold such a message for empty. \
             \"disconnect-immediately\": the session ends there.",
        ),
        default(
            "client_workarounds",
            "[]",
            "\"delay-newmail\": what others did to the selected mailbox is told by NOOP, CHECK and IDLE only. \
             \"tb-lsub-flags\": LSUB says which names cannot be selected. \"tb-extra-mailbox-sep\": a / behind a \
             name is no part of it, which is so in any case.",
        ),
    ],
};

pub(super) const POP3: &Section = &Section {
    name: "pop3",
    list: false,
    doc: "How POP3 is spoken. A maildrop that comes from another server keeps its unique-ids if they are made as \
          they were there; those that Dovecot kept in its uidlists count before that. Messages with UTF-8 in their \
          headers go out as they are, also to clients that did not say UTF8, unlike RFC 6856 has it: such mail is old \
          or spam as often as not, and whoever fetches it must not be stuck with it.",
    keys: &[
        default(
            "uidl_format",
            "\"%{uid | hex(8)}%{uidvalidity | hex(8)}\"",
            "How the unique-id of a message is made, as Dovecot's pop3_uidl_format says it: %{uid} and \
             %{uidvalidity} (also with | hex(8)), %{md5} of the header, %{filename}, %{guid}; or in its older form, \
             %08Xu%08Xv.",
        ),
        default(
            "login_delay",
            "\"0s\"",
            "How long a user has to wait from one login to the next (LOGIN-DELAY): \"10m\", a day at most.",
        ),
        default(
            "uidl_duplicates",
            "\"allow\"",
            "\"rename\": of messages with the same unique-id the second gets -2 behind it, and so on.",
        ),
        default(
            "reuse_xuidl",
            "false",
            "Whether the header field X-UIDL of a message is its unique-id. Messages are opened for that, unless \
             save_uidl remembers what was found.",
        ),
        default(
            "save_uidl",
            "false",
            "Whether a unique-id that a client was told is kept for ever, whatever becomes of the settings.",
        ),
        default(
            "lock_session",
            "false",
            "Whether a second POP3 session of a user is refused while the first lasts. IMAP and deliveries go on.",
        ),
        default(
            "no_flag_updates",
            "false",
            "Whether messages that were read by POP3 stay unseen for IMAP.",
        ),
        example(
            "deleted_flag",
            "\"$POP3Deleted\"",
            "A keyword: messages that have it are not there for POP3, only for IMAP.",
        ),
        default(
            "delete_type",
            "\"default\"",
            "What happens to messages that a client deletes: \"expunge\", or \"flag\": they get deleted_flag. \
             \"default\": \"flag\" if there is a deleted_flag.",
        ),
        default(
            "apop",
            "false",
            "Whether APOP is served to users whose passwords are stored as they are ({PLAIN}): the password is not \
             sent, but what is sent can be guessed from. TLS is better.",
        ),
        default(
            "enable_last",
            "false",
            "Whether the old command LAST is served.",
        ),
        default(
            "client_workarounds",
            "[]",
            "\"outlook-no-nuls\": NUL octets go out as 0x80. \"oe-ns-eoh\": a header without a body ends in an \
             empty line.",
        ),
    ],
};

pub(super) const LMTP: &Section = &Section {
    name: "lmtp",
    list: false,
    doc: "What becomes of addresses in deliveries. Clients in trusted_networks may say for whom they connect \
          (XCLIENT).",
    keys: &[
        default(
            "recipient_delimiter",
            "\"+\"",
            "Any of these characters ends the user's name in an address such as ann+lists@example.org; \"\" for none.",
        ),
        default(
            "save_to_detail_mailbox",
            "true",
            "Whether such a message goes to the mailbox of that name (lists), if there is one, instead of INBOX.",
        ),
        default(
            "delivery_address_header",
            "\"final\"",
            "Which address Delivered-To and Received tell: \"final\", that of the delivery; \"original\", that which \
             the mail server says the message was sent to first (ORCPT); or \"none\". A message for several \
             recipients tells none of them, so that one copy serves all.",
        ),
    ],
};

pub(super) const POSTFIX: &Section = &Section {
    name: "postfix",
    list: false,
    doc: "What Postfix is told by a listener for socketmap, as socketmap:unix:PATH:MAP. The maps are \"domain\", for \
          virtual_mailbox_domains; \"mailbox\", for virtual_mailbox_maps: addresses that LMTP takes; \"alias\", for \
          virtual_alias_maps.",
    keys: &[
        default(
            "domains",
            "[]",
            "Domains that are served, such as [\"example.org\"], besides those in names of users and aliases.",
        ),
        example(
            "aliases",
            "\"/etc/aliases\"",
            "A file in the format of aliases(5): a name without a domain is meant in all domains, and a target without \
             one in the same. Programs, files and :include: are passed over. It is read again when users are.",
        ),
    ],
};

pub(super) const LIMIT: &Section = &Section {
    name: "limits",
    list: false,
    doc: "What is not set here comes from the board; these are the values of the board generic.",
    keys: &[default(
        "trusted_networks",
        "[]",
        "Networks exempt from limits per address and penalties, which may say for whom they connect, such as \
         [\"192.168.0.0/16\"]; loopback always is.",
    )],
};

pub(super) const LOG: &Section = &Section {
    name: "log",
    list: false,
    doc: "",
    keys: &[default(
        "level",
        "\"info\"",
        "\"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\".",
    )],
};

pub(super) const PROCESS: &Section = &Section {
    name: "process",
    list: false,
    doc: "The accounts that processes run as when started by root; three different ones, \
          none of them root.",
    keys: &[
        default(
            "user",
            "\"dovelet\"",
            "Owns the mail of users without a uid of their own in the users file; with isolation = \"shared\" of \
             all. The one that Dovecot calls mail_uid.",
        ),
        default(
            "network_user",
            "\"dovelet-net\"",
            "Holds connections until login, and TLS.",
        ),
        default("auth_user", "\"dovelet-auth\"", "Reads the user sources."),
    ],
};

/// In the order of the manual.
pub(super) const SECTIONS: [&Section; 15] = [
    TOP, LISTENER, TLS, TLS_NAME, STORAGE, NAMESPACE, USERS, AUTH, IMAP, POP3, LMTP, POSTFIX,
    LIMIT, LOG, PROCESS,
];

/// What a value of a setting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Flag,
    /// Or an amount as text.
    Number,
    List,
}

impl Section {
    /// What the setting `name` is; `None` for one that is not known here.
    pub(super) fn shape(&self, name: &str) -> Option<Shape> {
        if self.name == LIMIT.name && LIMITS.iter().any(|limit| limit.name == name) {
            return Some(Shape::Number);
        }
        let key = self.keys.iter().find(|key| key.name == name)?;
        Some(match key.value.as_bytes().first() {
            Some(b'"') => Shape::Text,
            Some(b'[') => Shape::List,
            Some(b't' | b'f') => Shape::Flag,
            _ => Shape::Number,
        })
    }

    /// Every name that may stand in this table.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        let limits = if self.name == LIMIT.name { LIMITS } else { &[] };
        let inner = SECTIONS.into_iter().filter_map(|section| {
            let above = section.name.rsplit_once('.');
            let (above, name) = above.unwrap_or(("", section.name));
            (above == self.name && !name.is_empty()).then_some(name)
        });
        let keys = self.keys.iter().map(|key| key.name);
        keys.chain(limits.iter().map(|limit| limit.name))
            .chain(inner)
    }

    pub(super) fn header(&self) -> String {
        if self.list {
            format!("[[{}]]", self.name)
        } else {
            format!("[{}]", self.name)
        }
    }

    /// Where it is, for messages.
    pub(super) fn place(&self) -> String {
        if self.name.is_empty() {
            "at the top of the file".to_owned()
        } else {
            format!("in {}", self.header())
        }
    }
}

/// The table, other than `besides`, in which `name` may stand, if there is just one.
pub(super) fn home_of(name: &str, besides: &Section) -> Option<&'static Section> {
    let mut homes = SECTIONS
        .into_iter()
        .filter(|section| section.name != besides.name && section.names().any(|n| n == name))
        // Those of a namespace are mostly those of all mail.
        .filter(|section| section.name != NAMESPACE.name || name == "prefix");
    let home = homes.next()?;
    homes.next().is_none().then_some(home)
}

/// Returns the manual: every setting with its meaning. It is itself a settings file, in which
/// everything has its default; what is an example stands behind `#` without a space.
pub(crate) fn reference() -> String {
    let mut text = String::from(
        "# All settings of dovelet. Sizes are octets or text such as \"64KiB\" and \"25MB\", spans of time are\n\
         # text such as \"30s\", \"5m\" and \"1h\". Relative paths start at the directory of the settings file.\n",
    );
    for section in SECTIONS {
        if !section.name.is_empty() {
            let mark = if section.list { "#" } else { "" };
            text.push_str(&format!("\n{mark}{}\n", section.header()));
        }
        prose(section.doc, &mut text);
        for key in section.keys {
            text.push('\n');
            prose(key.doc, &mut text);
            let mark = if section.list || !key.default {
                "#"
            } else {
                ""
            };
            text.push_str(&format!("{mark}{} = {}\n", key.name, key.value));
        }
        if section.name == LIMIT.name {
            bounds::reference(&mut text);
        }
    }
    text
}

/// `doc` as comment lines of at most 100 characters.
pub(super) fn prose(doc: &str, text: &mut String) {
    let mut line = String::from("#");
    for word in doc.split_whitespace() {
        if line.len() + 1 + word.len() > 100 {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    if line.len() > 1 {
        text.push_str(&line);
        text.push('\n');
    }
}
