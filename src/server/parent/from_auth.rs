//! What `auth` says: who may log in, who may get a message, what is stored anew.

use super::{GRANT_PATIENCE, Login, Parent, still};
use crate::auth;
use crate::config::UserSource;
use crate::server::control::Message;
use crate::server::grants::Grant;
use crate::server::{users_file, uses};
use std::time::{Duration, Instant};

/// Verdicts that wait at once.
const MAX_LOGINS: usize = 20_000;
/// Messages of `auth`, which have to be heard before those of `front` that rest on them.
const MAX_FROM_AUTH: usize = 10_000;
/// How long the parent does other things before it stores a password again.
const REHASH_PAUSE: Duration = Duration::from_secs(1);

impl Parent {
    pub(super) fn hear_auth(&mut self) {
        let Some(auth) = self.auth.take() else {
            return;
        };
        let mut renewals = Vec::new();
        let gone = auth.receive(MAX_FROM_AUTH, &mut |message, _| match message {
            Message::Login {
                connection,
                owner,
                reads,
            } if self.logins.len() < MAX_LOGINS => {
                let until = Instant::now() + GRANT_PATIENCE;
                let login = Login {
                    owner,
                    reads,
                    until,
                };
                self.logins.insert(connection, login);
            }
            Message::AppPasswordUsed { user, id } => self.uses.add(user, id, Instant::now()),
            Message::Rehash { user, mark, hash } => renewals.push((user, mark, hash)),
            Message::Grant {
                connection,
                ticket,
                owner,
                address,
                detail,
            } => {
                let grant = Grant {
                    owner,
                    address,
                    detail,
                };
                if !self.grants.add(connection, ticket, grant, Instant::now()) {
                    log::error!("too many recipients wait for their messages");
                }
            }
            _ => log::error!("auth sent what it should not"),
        });
        self.auth = still(auth, gone, "auth", &mut self.auth_back_off);
        for (user, mark, hash) in renewals {
            self.rehash(&user, mark, &hash);
        }
    }

    pub(super) fn note_uses(&mut self, now: Instant) {
        let path = uses::app_passwords(&self.config.data_dir);
        self.uses.write(&path, now);
    }

    /// Stores a password anew, unless it was changed, somebody else changes the file now, or that was done a
    /// moment ago: then it is done at the next login. `auth` can only have what is stored for a user replaced that
    /// it knows already.
    fn rehash(&mut self, user: &str, mark: u64, hash: &str) {
        let now = Instant::now();
        let early = self.rehashed.is_some_and(|last| now < last + REHASH_PAUSE);
        if early || !self.config.auth.rehash {
            return;
        }
        self.rehashed = Some(now);
        for UserSource::File(path) in &self.config.users {
            let renewed = users_file::edit_now(path, |text| auth::renew(text, user, mark, hash));
            match renewed {
                Ok(true) => {
                    log::info!("the password of {user} is stored as the settings have it now");
                    return self.send_users();
                }
                Ok(false) => {}
                Err(error) => {
                    let path = path.display();
                    log::warn!("the password of {user} stays stored as it was in {path}: {error}");
                }
            }
        }
    }
}
