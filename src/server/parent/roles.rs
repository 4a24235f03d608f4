//! Starts `auth` and `front`, and tells them what the settings and files say.

use super::Parent;
use crate::config::{Config, UserSource};
use crate::server::children::Role;
use crate::server::control::{Certificate, Message};
use crate::server::error::Error;
use crate::server::setup::{self, Setup};
use crate::server::{certificate, layout, uses};
use crate::sys::message;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

impl Parent {
    fn jail(&self) -> Option<PathBuf> {
        Some(self.config.data_dir.join("run/empty"))
    }

    /// Starts `auth` with a channel to `front`, if that runs.
    pub(super) fn start_auth(&mut self) -> Result<(), Error> {
        let (to_auth, to_front) = message::channel().map_err(Error::system("making a channel"))?;
        let setup = Setup {
            identity: self.identities.auth,
            jail: self.jail(),
            data_dir: self.config.data_dir.clone(),
            storage: setup::templates(&self.config.storage),
            seed: self.seed.to_vec(),
            ..Setup::of(&self.config)
        };
        let setup = Message::Setup(Box::new(setup));
        let role = Role::start("auth", &self.config.limits, &setup, &[to_front.as_fd()])?;
        if let Some(authorities) = &self.authorities {
            role.send(authorities, &[]);
        }
        self.auth = Some(role);
        self.send_users();
        if let Some(front) = &self.front {
            front.send(&Message::NewPeer, &[to_auth.as_fd()]);
        }
        Ok(())
    }

    /// Starts `front` with the listeners and a new channel to `auth`.
    pub(super) fn start_front(&mut self, certificates: &[Certificate]) -> Result<(), Error> {
        let (to_auth, to_front) = message::channel().map_err(Error::system("making a channel"))?;
        self.generation += 1;
        let setup = Setup {
            identity: self.identities.front,
            jail: self.jail(),
            generation: self.generation,
            listeners: self
                .listeners
                .all
                .iter()
                .map(|(_, served)| *served)
                .collect(),
            ..Setup::of(&self.config)
        };
        let setup = Message::Setup(Box::new(setup));
        let mut descriptors = vec![to_auth.as_fd()];
        descriptors.extend(self.listeners.all.iter().map(|(socket, _)| socket.as_fd()));
        let role = Role::start("front", &self.config.limits, &setup, &descriptors)?;
        if let Some(authorities) = &self.authorities {
            role.send(authorities, &[]);
        }
        send_certificates(&role, certificates)?;
        self.front = Some(role);
        // Its predecessor's places are gone with it.
        self.engines.released.clear();
        if let Some(auth) = &self.auth {
            auth.send(&Message::NewPeer, &[to_front.as_fd()]);
        }
        Ok(())
    }

    /// Opens the users files, which `auth` may not, and gives them to it. If one of them cannot be opened,
    /// `auth` keeps those it has: without them their mail would be sent back.
    pub(super) fn send_users(&mut self) {
        let Some(auth) = &self.auth else {
            return;
        };
        // The one that nobody has configured is made by the first `dovelet user add`.
        let own = UserSource::default_in(&self.config.data_dir);
        let (mut files, mut names) = (Vec::new(), Vec::new());
        for UserSource::File(path) in &self.config.users {
            match layout::open(path) {
                Ok(file) => {
                    files.push(file);
                    names.push(path.clone());
                }
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound
                        && !self.users_seen
                        && UserSource::File(path.clone()) == own =>
                {
                    log::warn!(
                        "there is no users file {}: nobody can log in",
                        path.display()
                    );
                }
                Err(error) => {
                    log::error!(
                        "users file {}: {error}; the users stay as they were",
                        path.display()
                    );
                    return;
                }
            }
        }
        self.users_seen |= !files.is_empty();
        let aliases = self.aliases();
        let message = Message::Users {
            files: names,
            aliases: aliases.is_some(),
        };
        files.extend(aliases);
        let descriptors: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        auth.send(&message, &descriptors);
        self.send_app_passwords(auth);
        self.grants.revoke();
        if let Some(front) = &self.front {
            let message = Message::Users {
                files: Vec::new(),
                aliases: false,
            };
            front.send(&message, &[]);
        }
    }

    /// Unless they cannot be opened: then they stay as they were.
    fn send_app_passwords(&self, auth: &Role) {
        let path = uses::app_passwords(&self.config.data_dir);
        match layout::open(&path) {
            Ok(file) => {
                auth.send(&Message::AppPasswords, &[file.as_fd()]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                auth.send(&Message::AppPasswords, &[]);
            }
            Err(error) => log::error!("{}: {error}; they stay as they were", path.display()),
        }
    }

    /// The file of aliases, if there is one.
    fn aliases(&self) -> Option<File> {
        let path = self.config.postfix.aliases.as_ref()?;
        let opened = layout::open(path).inspect_err(|error| {
            log::error!(
                "aliases {}: {error}; they stay as they were",
                path.display()
            );
        });
        opened.ok()
    }

    pub(super) fn reload(&mut self) {
        log::info!("reading users and certificates again; other settings need a restart");
        self.engines.owners.look_again();
        self.send_users();
        match authorities(&self.config) {
            Ok(authorities) => self.authorities = authorities,
            Err(error) => log::error!("{error}; it stays as it was"),
        }
        if let Some(authorities) = &self.authorities {
            for role in [&self.auth, &self.front].into_iter().flatten() {
                role.send(authorities, &[]);
            }
        }
        match certificate::load(&self.config) {
            Ok(certificates) => {
                if let Some(front) = &self.front {
                    send_certificates(front, &certificates)
                        .unwrap_or_else(|error| log::error!("{error}; TLS stays as it was"));
                }
            }
            Err(error) => log::error!("the certificates stay as they were: {error}"),
        }
    }
}

/// What roles are told of those who vouch for clients' certificates.
pub(super) fn authorities(config: &Config) -> Result<Option<Message>, Error> {
    let pem = certificate::authorities(config)?;
    let name = config.tls.client_name;
    Ok(pem.map(|pem| Message::Authorities { pem, name }))
}

/// One by one: all of them together may be more than a message holds.
fn send_certificates(front: &Role, all: &[Certificate]) -> Result<(), Error> {
    for (number, certificate) in all.iter().enumerate() {
        let message = Message::Certificate {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            last: number + 1 == all.len(),
            certificate: certificate.clone(),
        };
        front.send_surely(&message).map_err(|error| {
            let name = &certificate.name;
            Error::Tls(format!(
                "the certificate {name:?} cannot be given to front: {error}"
            ))
        })?;
    }
    Ok(())
}
