//! What a role is told before it begins: which settings, and how they go from process to process.

use super::pack::{Pack, Unpack, path, unpath};
use crate::codec::packed::Method;
use crate::config::{
    Config, Delete, DeliveryAddress, FetchFailure, Form, Format, Imap, InfoSeparator, Layout,
    Limits, Lmtp, Location, Mechanisms, Namespace, Network, Pop3, Protocol, Scheme, Storage,
    Template, Workarounds,
};
use crate::mail::{Keyword, MailboxName, UidlFormat};
use crate::sys::accounts::Identity;
use std::path::PathBuf;
use std::time::Duration;

/// What a role needs to know before it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Setup {
    /// Whom to become; `None`: whoever started it.
    pub(super) identity: Option<Identity>,
    /// The empty directory to be locked up in.
    pub(super) jail: Option<PathBuf>,
    /// Trees that an engine may touch.
    pub(super) trees: Vec<PathBuf>,
    pub(super) index: PathBuf,
    pub(super) hostname: String,
    pub(super) log_level: u8,
    /// Tells a restarted `front` from its predecessor.
    pub(super) generation: u32,
    /// An engine of one user ends when nobody needs it.
    pub(super) single: bool,
    pub(super) listeners: Vec<Served>,
    /// As [`crate::config::Auth`] has them.
    pub(super) mechanisms: Option<Mechanisms>,
    /// Others may ask `auth` where users are, or which addresses there are.
    pub(super) userdb: bool,
    pub(super) socketmap: bool,
    /// There is a file of aliases.
    pub(super) aliases: bool,
    /// Domains that are served, besides those in names.
    pub(super) domains: Vec<String>,
    /// How passwords are to be stored, if those that are stored otherwise are to be stored anew.
    pub(super) rehash: Option<Scheme>,
    /// Who may log in as others, and what stands before such a name.
    pub(super) masters: Vec<String>,
    pub(super) master_separator: String,
    /// Whose mail is public.
    pub(super) anonymous_user: Option<String>,
    /// For `auth` alone: where mail is, to tell others.
    pub(super) data_dir: PathBuf,
    /// The templates of [`Storage`].
    pub(super) storage: [Option<String>; 3],
    /// For `auth` alone: what salts are made from that are not stored.
    pub(super) seed: Vec<u8>,
    pub(super) imap: Imap,
    pub(super) pop3: Pop3,
    pub(super) lmtp: Lmtp,
    /// Of accounts of which nothing else is said.
    pub(super) form: Form,
    pub(super) limits: Limits,
}

/// A listener as `front` has it; descriptors come in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Served {
    pub(super) protocol: Protocol,
    pub(super) unix: bool,
    /// 0 none, 1 STARTTLS, 2 implicit.
    pub(super) tls: u8,
    pub(super) proxy_protocol: bool,
}

/// Of a number that a protocol is between processes.
pub(super) fn protocol(number: u8) -> Option<Protocol> {
    let mut all = Protocol::ALL.into_iter();
    all.find(|protocol| *protocol as u8 == number)
}

fn scheme(unpack: &mut Unpack<'_>) -> Option<Scheme> {
    let number = unpack.u8()?;
    let mut all = [Scheme::Argon2id, Scheme::ScramSha256].into_iter();
    all.find(|scheme| *scheme as u8 == number)
}

/// Of a number that a set of mechanisms is between processes.
pub(super) fn unpack_mechanisms(unpack: &mut Unpack<'_>) -> Option<Mechanisms> {
    let bits = u16::try_from(unpack.u32()?).ok()?;
    Some(Mechanisms::of_bits(bits))
}

fn pack_imap(pack: &mut Pack, imap: &Imap) {
    pack.option(imap.admin.as_ref(), |pack, admin| {
        pack.text(admin);
    });
    let failure = FetchFailure::ALL.iter();
    let at = failure.take_while(|(_, own)| *own != imap.fetch_failure);
    pack.u8(at.count() as u8);
    let own = imap.workarounds;
    for on in [own.delay_newmail, own.extra_separator, own.lsub_flags] {
        pack.u8(u8::from(on));
    }
}

fn unpack_imap(unpack: &mut Unpack<'_>) -> Option<Imap> {
    Some(Imap {
        admin: unpack.option(Unpack::text)?,
        fetch_failure: FetchFailure::ALL.get(usize::from(unpack.u8()?))?.1,
        workarounds: Workarounds {
            delay_newmail: unpack.u8()? != 0,
            extra_separator: unpack.u8()? != 0,
            lsub_flags: unpack.u8()? != 0,
        },
    })
}

fn pack_pop3(pack: &mut Pack, pop3: &Pop3) {
    pack.text(pop3.uidl_format.as_str());
    pack.option(pop3.deleted_flag.as_ref(), |pack, flag| {
        pack.text(flag.as_str());
    });
    let flags = [
        pop3.rename_duplicates,
        pop3.reuse_xuidl,
        pop3.save_uidl,
        pop3.lock_session,
        pop3.no_flag_updates,
        pop3.delete == Delete::Flag,
        pop3.apop,
        pop3.enable_last,
        pop3.no_nuls,
        pop3.end_of_header,
    ];
    for flag in flags {
        pack.u8(u8::from(flag));
    }
    pack.u64(pop3.login_delay.as_secs());
}

fn unpack_pop3(unpack: &mut Unpack<'_>) -> Option<Pop3> {
    let uidl_format = UidlFormat::parse(&unpack.text()?)?;
    let deleted_flag = unpack.option(|unpack| Keyword::new(&unpack.text()?))?;
    let mut flag = || Some(unpack.u8()? != 0);
    Some(Pop3 {
        uidl_format,
        deleted_flag,
        rename_duplicates: flag()?,
        reuse_xuidl: flag()?,
        save_uidl: flag()?,
        lock_session: flag()?,
        no_flag_updates: flag()?,
        delete: if flag()? {
            Delete::Flag
        } else {
            Delete::Expunge
        },
        apop: flag()?,
        enable_last: flag()?,
        no_nuls: flag()?,
        end_of_header: flag()?,
        login_delay: Duration::from_secs(unpack.u64()?),
    })
}

fn pack_lmtp(pack: &mut Pack, lmtp: &Lmtp) {
    pack.text(&lmtp.recipient_delimiter);
    pack.u8(u8::from(lmtp.save_to_detail_mailbox));
    pack.text(lmtp.delivery_address.as_str());
}

fn unpack_lmtp(unpack: &mut Unpack<'_>) -> Option<Lmtp> {
    Some(Lmtp {
        recipient_delimiter: unpack.text()?,
        save_to_detail_mailbox: unpack.u8()? != 0,
        delivery_address: DeliveryAddress::named(&unpack.text()?)?,
    })
}

/// The limits as numbers, in one place for both ways.
macro_rules! limits {
    ($($field:ident: $kind:ident),* $(,)?) => {
        fn pack_limits(pack: &mut Pack, limits: &Limits) {
            $( pack.u64(limits!(@out $kind limits.$field)); )*
            pack.list(&limits.trusted_networks, |pack, network| {
                pack.text(&network.address.to_string()).u8(network.prefix);
            });
        }

        fn unpack_limits(unpack: &mut Unpack<'_>) -> Option<Limits> {
            $( let $field = limits!(@in $kind unpack.u64()?); )*
            let trusted_networks = unpack.list(|unpack| Some(Network {
                address: unpack.text()?.parse().ok()?,
                prefix: unpack.u8()?,
            }))?;
            Some(Limits { $($field,)* trusted_networks })
        }
    };
    (@out time $value:expr) => { u64::try_from($value.as_millis()).unwrap_or(u64::MAX) };
    (@out number $value:expr) => { u64::from($value) };
    (@out size $value:expr) => { $value as u64 };
    (@in time $value:expr) => { Duration::from_millis($value) };
    (@in number $value:expr) => { u32::try_from($value).ok()? };
    (@in size $value:expr) => { usize::try_from($value).ok()? };
    (@out long $value:expr) => { $value };
    (@in long $value:expr) => { $value };
}

limits!(
    max_connections: number,
    max_connections_per_address: number,
    max_connections_per_user: number,
    max_login_connections: number,
    login_timeout: time,
    login_bad_commands: number,
    login_failures: number,
    login_line_octets: size,
    login_literal_octets: size,
    command_line_octets: size,
    literal_octets: size,
    nonsync_literal_octets: number,
    append_messages: size,
    message_octets: long,
    bad_commands: number,
    set_ranges: size,
    search_keys: size,
    search_mailboxes: size,
    search_contexts: size,
    search_depth: size,
    notify_mailboxes: size,
    imap_idle_timeout: time,
    imap_keep_alive: time,
    pop3_idle_timeout: time,
    lmtp_idle_timeout: time,
    header_octets: size,
    header_line_octets: size,
    header_addresses: size,
    mime_parameters: size,
    mime_parts: size,
    mime_depth: size,
    max_recipients: number,
    max_transactions: number,
    auth_requests: size,
    lmtp_filing_timeout: time,
    lmtp_user_deliveries: number,
    max_mailboxes: size,
    mailbox_name_octets: size,
    mailbox_depth: size,
    max_keywords: size,
    metadata_entries: size,
    metadata_octets: size,
    mdbox_rotate_octets: number,
    expunge_history: number,
    scrub_octets: number,
    step_messages: size,
    argon2_memory_kib: number,
    argon2_passes: number,
    argon2_parallel: number,
    argon2_queue: number,
    scram_iterations: number,
    login_failure_delay: time,
    login_failure_delay_max: time,
    index_cache_octets: size,
    cache_mailbox_octets: long,
    cache_user_octets: long,
    cache_unused_time: time,
    sort_octets: size,
    blocking_threads: number,
    stack_octets: size,
    engine_memory_octets: size,
    front_memory_octets: size,
    auth_memory_octets: size,
    engine_idle_timeout: time,
);

fn format_number(format: Format) -> u8 {
    match format {
        Format::Maildir => 0,
        Format::Mdbox => 1,
        Format::Mbox => 3,
        Format::Sdbox => 2,
    }
}

fn format(number: u8) -> Option<Format> {
    let all = [Format::Maildir, Format::Mdbox, Format::Sdbox, Format::Mbox];
    all.into_iter()
        .find(|format| format_number(*format) == number)
}

/// Zero: none; else the place among all.
fn compression_number(method: Option<Method>) -> u8 {
    let place = |method| Method::ALL.iter().position(|own| *own == method);
    let place = method.and_then(place).map_or(0, |place| place + 1);
    u8::try_from(place).unwrap_or(0)
}

fn compression(number: u8) -> Option<Option<Method>> {
    match usize::from(number).checked_sub(1) {
        None => Some(None),
        Some(place) => Method::ALL.get(place).map(|method| Some(*method)),
    }
}

fn number_of<T: Copy + Default + PartialEq>(one: T, all: &[T]) -> u8 {
    let place = all.iter().position(|own| *own == one);
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(0)
}

fn pack_form(pack: &mut Pack, form: &Form) {
    pack.u8(format_number(form.format));
    pack.u8(compression_number(form.compression));
    pack.u8(number_of(form.layout, &Layout::ALL));
    pack.u8(number_of(form.info_separator, &InfoSeparator::ALL));
    for place in [&form.attachments, &form.inbox, &form.alternate] {
        pack.option(place.as_ref(), |pack, place| path(pack, place));
    }
}

fn unpack_form(unpack: &mut Unpack<'_>) -> Option<Form> {
    Some(Form {
        format: format(unpack.u8()?)?,
        compression: compression(unpack.u8()?)?,
        layout: *Layout::ALL.get(usize::from(unpack.u8()?))?,
        info_separator: *InfoSeparator::ALL.get(usize::from(unpack.u8()?))?,
        attachments: unpack.option(unpath)?,
        inbox: unpack.option(unpath)?,
        alternate: unpack.option(unpath)?,
        namespaces: Vec::new(),
    })
}

fn pack_place(pack: &mut Pack, location: &Location) {
    path(pack, &location.root);
    pack_form(pack, &location.form);
}

fn unpack_place(unpack: &mut Unpack<'_>) -> Option<Location> {
    Some(Location {
        root: unpath(unpack)?,
        form: unpack_form(unpack)?,
    })
}

/// Namespaces have none themselves.
pub(super) fn pack_location(pack: &mut Pack, location: &Location) {
    pack_place(pack, location);
    pack.list(&location.form.namespaces, |pack, namespace| {
        pack.text(namespace.prefix.as_str());
        pack_place(pack, &namespace.location);
    });
}

pub(super) fn unpack_location(unpack: &mut Unpack<'_>) -> Option<Location> {
    let mut location = unpack_place(unpack)?;
    location.form.namespaces = unpack.list(|unpack| {
        Some(Namespace {
            prefix: MailboxName::new(&unpack.text()?).ok()?,
            location: unpack_place(unpack)?,
        })
    })?;
    Some(location)
}

/// The templates of what is set of storage, as texts.
pub(super) fn templates(storage: &Storage) -> [Option<String>; 3] {
    let text = |template: &Option<Template>| template.as_ref().map(Template::to_string);
    [&storage.path, &storage.inbox, &storage.alternate].map(text)
}

impl Setup {
    /// What was set of storage, for `auth`. `None`: a template is none.
    pub(super) fn storage(&self) -> Option<Storage> {
        let read = |text: &Option<String>| match text {
            Some(text) => Template::parse(text).ok().map(Some),
            None => Some(None),
        };
        let [path, inbox, alternate] = &self.storage;
        Some(Storage {
            format: self.form.format,
            layout: self.form.layout,
            path: read(path)?,
            inbox: read(inbox)?,
            alternate: read(alternate)?,
            ..Storage::default()
        })
    }

    /// What every role is told.
    pub(super) fn of(config: &Config) -> Setup {
        let serves = |protocol| config.listeners.iter().any(|l| l.protocol == protocol);
        Setup {
            hostname: config.hostname.clone(),
            log_level: config.log.level as usize as u8,
            form: config.storage.form(),
            limits: config.limits.clone(),
            mechanisms: config.auth.mechanisms,
            userdb: serves(Protocol::DovecotUserdb),
            socketmap: serves(Protocol::Socketmap),
            rehash: Some(config.auth.scheme).filter(|_| config.auth.rehash),
            masters: config.auth.master_users.clone(),
            master_separator: config.auth.master_separator.to_string(),
            anonymous_user: config.auth.anonymous_user.clone(),
            aliases: config.postfix.aliases.is_some(),
            domains: config.postfix.domains.clone(),
            imap: config.imap.clone(),
            pop3: config.pop3.clone(),
            lmtp: config.lmtp.clone(),
            ..Setup::default()
        }
    }

    pub(super) fn pack(&self, pack: &mut Pack) {
        pack.option(self.identity.as_ref(), |pack, identity| {
            pack.u32(identity.uid).u32(identity.gid);
        });
        pack.option(self.jail.as_ref(), |pack, jail| path(pack, jail));
        pack.list(&self.trees, |pack, tree| path(pack, tree));
        path(pack, &self.index);
        pack.text(&self.hostname).u8(self.log_level);
        pack.u32(self.generation).u8(u8::from(self.single));
        pack.list(&self.listeners, |pack, served| {
            pack.u8(served.protocol as u8).u8(u8::from(served.unix));
            pack.u8(served.tls).u8(u8::from(served.proxy_protocol));
        });
        pack.option(self.mechanisms.as_ref(), |pack, mechanisms| {
            pack.u32(mechanisms.bits().into());
        });
        pack.u8(u8::from(self.userdb)).u8(u8::from(self.socketmap));
        pack.u8(u8::from(self.aliases));
        pack.list(&self.domains, |pack, domain| {
            pack.text(domain);
        });
        pack.option(self.rehash.as_ref(), |pack, scheme| {
            pack.u8(*scheme as u8);
        });
        pack.list(&self.masters, |pack, name| {
            pack.text(name);
        });
        pack.text(&self.master_separator);
        pack.option(self.anonymous_user.as_ref(), |pack, name| {
            pack.text(name);
        });
        path(pack, &self.data_dir);
        for template in &self.storage {
            pack.option(template.as_ref(), |pack, template| {
                pack.text(template);
            });
        }
        pack.bytes(&self.seed);
        pack_imap(pack, &self.imap);
        pack_pop3(pack, &self.pop3);
        pack_lmtp(pack, &self.lmtp);
        pack_form(pack, &self.form);
        pack_limits(pack, &self.limits);
    }

    pub(super) fn unpack(unpack: &mut Unpack<'_>) -> Option<Setup> {
        Some(Setup {
            identity: unpack.option(|unpack| {
                Some(Identity {
                    uid: unpack.u32()?,
                    gid: unpack.u32()?,
                })
            })?,
            jail: unpack.option(unpath)?,
            trees: unpack.list(unpath)?,
            index: unpath(unpack)?,
            hostname: unpack.text()?,
            log_level: unpack.u8()?,
            generation: unpack.u32()?,
            single: unpack.u8()? != 0,
            listeners: unpack.list(|unpack| {
                Some(Served {
                    protocol: protocol(unpack.u8()?)?,
                    unix: unpack.u8()? != 0,
                    tls: unpack.u8()?,
                    proxy_protocol: unpack.u8()? != 0,
                })
            })?,
            mechanisms: unpack.option(unpack_mechanisms)?,
            userdb: unpack.u8()? != 0,
            socketmap: unpack.u8()? != 0,
            aliases: unpack.u8()? != 0,
            domains: unpack.list(Unpack::text)?,
            rehash: unpack.option(scheme)?,
            masters: unpack.list(Unpack::text)?,
            master_separator: unpack.text()?,
            anonymous_user: unpack.option(Unpack::text)?,
            data_dir: unpath(unpack)?,
            storage: [
                unpack.option(Unpack::text)?,
                unpack.option(Unpack::text)?,
                unpack.option(Unpack::text)?,
            ],
            seed: unpack.bytes()?.to_vec(),
            imap: unpack_imap(unpack)?,
            pop3: unpack_pop3(unpack)?,
            lmtp: unpack_lmtp(unpack)?,
            form: unpack_form(unpack)?,
            limits: unpack_limits(unpack)?,
        })
    }
}
