//! Verdicts: what becomes of who claims to be somebody, and what a failure costs.

use super::{Auth, Peer};
use crate::auth::{
    Binding, Credentials, Current, Dialogue, Judgement, Opening, Proof, User, Users, Verdict,
};
use crate::codec::base64;
use crate::config::{Mechanism, Protocol};
use crate::mail::{Date, DateTime};
use crate::server::channel::Channel;
use crate::server::checked::{Checked, Renewal, checked};
use crate::server::control::Message;
use crate::server::deadline;
use crate::server::failed::{self, Why};
use crate::server::logging;
use crate::sys::clock;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// From one try to store a password anew to the next.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// Random octets of a nonce.
const NONCE: usize = 18;

impl Auth {
    /// A dialogue that begins now, and what the client is to be told.
    pub(super) fn begun(
        &self,
        mechanism: Mechanism,
        binding: &Binding,
        message: &[u8],
    ) -> Option<(Dialogue, Vec<u8>)> {
        let users = self.users.borrow().clone()?;
        let offered = self.offered.get();
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).ok()?;
        let opening = Opening {
            mechanism: Some(mechanism).filter(|m| offered.contains(*m))?,
            message,
            binding,
            bindable: !binding.is_empty() && offered.iter().any(Mechanism::binds),
            nonce: &base64::encode(&nonce),
            seed: &self.setup.seed,
            iterations: self.setup.limits.scram_iterations,
            hostname: &self.setup.hostname,
        };
        Dialogue::begin(&users, &opening)
    }

    pub(super) fn keep(&self, connection: u64, dialogue: Dialogue, peer: Peer) {
        let mut dialogues = self.dialogues.borrow_mut();
        dialogues.keep(connection, dialogue, peer);
    }

    /// For what is malformed, or not bound to the connection it came by.
    pub(super) async fn reject(self: Rc<Self>, front: Rc<Channel>, connection: u64) {
        deadline::after(self.setup.limits.login_failure_delay).await;
        let message = Message::Verdict {
            connection,
            judgement: Judgement::from(Verdict::Rejected),
        };
        front.send(&message, &[]).await.ok();
    }

    pub(super) async fn verify(
        self: Rc<Self>,
        front: Rc<Channel>,
        connection: u64,
        (protocol, address): Peer,
        claim: Credentials,
    ) {
        let counted = !self.setup.limits.trusts(address);
        if counted {
            let delay = self.throttle.borrow().delay(address, self.now());
            if !delay.is_zero() {
                deadline::after(delay).await;
            }
        }
        let claim = self.divided(self.certified(claim));
        let trace = match &claim.proof {
            Proof::Anonymous(trace) => Some(trace.clone()),
            _ => None,
        };
        let blamed = self.blamed(&claim).to_owned();
        let master = (!claim.is_own()).then(|| claim.authcid.clone());
        let name = claim.authcid.clone();
        let refused = counted && self.throttle.borrow().refuses(address, self.now());
        let checked = match refused {
            true => Checked::UNAVAILABLE,
            // Proves nothing and so takes no penalty back.
            false if trace.is_some() => self.anonymous(protocol),
            false => {
                let counted = counted.then_some(address);
                self.check(claim, protocol, counted).await
            }
        };
        let (user, verdict) = (checked.user, checked.verdict.clone());
        let mut judged = Judgement {
            verdict: checked.verdict,
            user: String::new(),
            told: checked.told,
        };
        let soon = |user: &User| {
            let mut recent = self.recent.borrow_mut();
            protocol == Protocol::Pop3 && trace.is_none() && !recent.admits(&user.name, self.now())
        };
        if user.as_ref().is_some_and(soon) {
            judged = Judgement::from(Verdict::TooSoon);
        } else if let Some(user) = user {
            let how = match protocol {
                Protocol::DovecotAuth => "was accepted for another server",
                _ => "logged in",
            };
            let by = match &trace {
                Some(trace) => format!(" anonymously, as {trace:?}"),
                None => by(master.as_deref(), checked.app_password.as_deref()),
            };
            log::info!("{} {how} from {address}{by}", user.name);
            judged.user.clone_from(&user.name);
            self.renew(&name, checked.renewed).await;
            self.note(&user.name, checked.app_password).await;
            // Whoever is accepted for another server is not logged in here.
            if matches!(protocol, Protocol::Imap | Protocol::Pop3) {
                let grant = Message::Login {
                    connection,
                    owner: user.into(),
                    reads: trace.is_some(),
                };
                if self.parent.send(&grant, &[]).await.is_err() {
                    return;
                }
            }
        } else if matches!(verdict, Verdict::Closed(_)) {
            log::info!(
                "{} may not log in here, from {address}",
                name.escape_debug()
            );
        } else {
            let why = match &verdict {
                Verdict::Rejected if self.knows(&blamed) => Some(Why::Password),
                Verdict::Rejected => Some(Why::User),
                _ if refused => Some(Why::NotChecked),
                _ => None,
            };
            match why {
                Some(why) => logging::print(&failed::line(&blamed, address, why)),
                // That is no guess; whoever counts those should not count it.
                None => log::warn!(
                    "{} could not be logged in now, from {address}",
                    blamed.escape_debug()
                ),
            }
            deadline::after(self.setup.limits.login_failure_delay).await;
        }
        let message = Message::Verdict {
            connection,
            judgement: judged,
        };
        front.send(&message, &[]).await.ok();
    }

    /// The claim as that of the user whose certificate was shown, if it is good.
    fn certified(&self, claim: Credentials) -> Credentials {
        let Proof::Certificate(shown) = &claim.proof else {
            return claim;
        };
        let authorities = self.authorities.borrow();
        let user = authorities.as_ref().and_then(|all| all.user(shown));
        match user {
            Some(authcid) => Credentials {
                authcid,
                proof: Proof::Certified,
                ..claim
            },
            None => claim,
        }
    }

    /// The verdict on who proves nothing.
    fn anonymous(&self, protocol: Protocol) -> Checked {
        let offered = self.offered.get().contains(Mechanism::Anonymous);
        let served = offered && matches!(protocol, Protocol::Imap | Protocol::Pop3);
        let users = self.users.borrow();
        let admitted = users
            .as_ref()
            .filter(|_| served)
            .map(|u| u.admit_anonymous());
        let (verdict, user) = admitted.unwrap_or((Verdict::Rejected, None));
        Checked {
            verdict,
            user: user.cloned(),
            ..Checked::UNAVAILABLE
        }
    }

    /// The claim with `user*master` as both.
    fn divided(&self, claim: Credentials) -> Credentials {
        match &*self.users.borrow() {
            Some(users) => users.divide(claim),
            None => claim,
        }
    }

    /// Who is not there, or whose password was wrong.
    fn blamed<'a>(&self, claim: &'a Credentials) -> &'a str {
        let missing = !claim.is_own() && self.knows(&claim.authcid) && !self.knows(&claim.authzid);
        if missing {
            &claim.authzid
        } else {
            &claim.authcid
        }
    }

    fn knows(&self, name: &str) -> bool {
        let users = self.users.borrow();
        users
            .as_ref()
            .is_some_and(|users| users.find(name).is_some())
    }

    /// Time as penalties have it: no clock that is set moves it.
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// What becomes of a claim. Slow hashes run beside, a bounded number at once and in wait.
    /// `counted`: the address that pays for a failure.
    async fn check(
        &self,
        claim: Credentials,
        protocol: Protocol,
        counted: Option<IpAddr>,
    ) -> Checked {
        let Some(users) = self.users.borrow().clone() else {
            return Checked::UNAVAILABLE;
        };
        if let Some(checked) = self.by_app_password(&users, &claim, protocol) {
            self.count(&checked.verdict, counted);
            return checked;
        }
        let renewal = self.renewal(&users, &claim);
        if renewal.is_none() && !users.is_slow(&claim) {
            let checked = checked(&users, claim, None);
            self.count(&checked.verdict, counted);
            return checked;
        }
        let limits = &self.setup.limits;
        if self.queued.get() >= limits.argon2_parallel.saturating_add(limits.argon2_queue) {
            log::warn!("too many logins at once: one was turned away");
            return Checked::UNAVAILABLE;
        }
        self.queued.set(self.queued.get() + 1);
        let checked = match self.begin(counted).await {
            false => Checked::UNAVAILABLE,
            true => {
                let name = claim.authcid.clone();
                let checked = self.hash(users, claim, renewal).await;
                self.count(&checked.verdict, counted);
                self.end(counted);
                if checked.verdict == Verdict::Unavailable {
                    let name = name.escape_debug();
                    log::error!(
                        "the password of {name} was not checked: that takes more memory than \
                         `auth_memory_octets` leaves; raise that limit, or have a password hashed \
                         that this machine can afford: dovelet user passwd {name}"
                    );
                }
                checked
            }
        };
        self.queued.set(self.queued.get().saturating_sub(1));
        checked
    }

    /// The verdict on a claim that was made with an app password.
    fn by_app_password(
        &self,
        users: &Users,
        claim: &Credentials,
        protocol: Protocol,
    ) -> Option<Checked> {
        let app_passwords = self.app_passwords.borrow();
        let found = app_passwords.find(claim, protocol, today())?;
        let (verdict, user) = users.admit(claim);
        Some(Checked {
            verdict,
            user: user.cloned(),
            app_password: Some(found.id.clone()),
            ..Checked::UNAVAILABLE
        })
    }

    /// Has the parent, which can write, note that an app password was used, once a day.
    async fn note(&self, user: &str, id: Option<String>) {
        let Some(id) = id else {
            return;
        };
        let news = (self.app_passwords.borrow_mut()).note(user, &id, today());
        if news {
            let user = user.to_owned();
            let message = Message::AppPasswordUsed { user, id };
            self.parent.send(&message, &[]).await.ok();
        }
    }

    /// The verdict of a slow hash; one for which there is no memory beside others is tried again alone.
    async fn hash(
        &self,
        users: Arc<Users>,
        claim: Credentials,
        renewal: Option<Renewal>,
    ) -> Checked {
        let begin = || {
            let (users, claim) = (users.clone(), claim.clone());
            self.pool.unblock(move || checked(&users, claim, renewal))
        };
        let beside = async {
            let _permit = self.hashing.acquire().await;
            let _others = self.alone.read().await;
            begin().await
        };
        let first = beside.await;
        if first.verdict != Verdict::Unavailable || self.setup.limits.argon2_parallel <= 1 {
            return first;
        }
        let _nobody = self.alone.write().await;
        begin().await
    }

    /// How the password of this user is to be stored anew, if it is and if it is sent.
    fn renewal(&self, users: &Users, claim: &Credentials) -> Option<Renewal> {
        let current = Current::new(self.setup.rehash?, &self.setup.limits);
        let sent = matches!(claim.proof, Proof::Password(_));
        let name = claim.authcid.to_ascii_lowercase();
        let renewed = self.renewed.borrow().get(&name).copied();
        // The parent may have had no time for it.
        if !sent || renewed.is_some_and(|at| at.elapsed() < RENEWAL_PAUSE) {
            return None;
        }
        let mark = users.outdated(&name, &current)?;
        Some(Renewal { current, mark })
    }

    /// Has the parent, which can write, store a password anew.
    async fn renew(&self, user: &str, renewed: Option<(u64, String)>) {
        let Some((mark, hash)) = renewed else {
            return;
        };
        let user = user.to_owned();
        let before = (self.renewed.borrow_mut()).insert(user.clone(), Instant::now());
        if before.is_none_or(|at| at.elapsed() >= RENEWAL_PAUSE) {
            let message = Message::Rehash { user, mark, hash };
            self.parent.send(&message, &[]).await.ok();
        }
    }

    /// Waits until no more logins of this address are looked at than may fail; `false` if it is refused then.
    async fn begin(&self, counted: Option<IpAddr>) -> bool {
        let Some(address) = counted else {
            return true;
        };
        loop {
            let judged = self.judged.listen();
            let now = self.now();
            if self.throttle.borrow().refuses(address, now) {
                return false;
            }
            if self.throttle.borrow_mut().begin(address, now) {
                return true;
            }
            judged.await;
        }
    }

    fn end(&self, counted: Option<IpAddr>) {
        if let Some(address) = counted {
            self.throttle.borrow_mut().ended(address);
            self.judged.notify(usize::MAX);
        }
    }

    /// What a verdict means for the address.
    fn count(&self, verdict: &Verdict, counted: Option<IpAddr>) {
        let mut throttle = self.throttle.borrow_mut();
        match (counted, verdict) {
            (Some(address), Verdict::Accepted | Verdict::Closed(_)) => {
                throttle.succeeded(address, self.now());
            }
            (Some(address), Verdict::Rejected) => throttle.failed(address, self.now()),
            _ => {}
        }
    }
}

fn today() -> Date {
    DateTime::utc(clock::now_seconds()).date()
}

/// By what somebody was accepted, if not by the own password.
fn by(master: Option<&str>, app_password: Option<&str>) -> String {
    match (master, app_password) {
        (Some(master), _) => format!(" by the master user {master}"),
        (None, Some(id)) => format!(" with the app password {id}"),
        (None, None) => String::new(),
    }
}
