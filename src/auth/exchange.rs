//! SASL exchanges without I/O: decoded responses in, challenges and credentials out.
//!
//! PLAIN is RFC 4616; LOGIN has no standard, its two prompts are what clients expect.

use super::credentials::{Credentials, MAX_NAME, MAX_PASSWORD};
use super::secret::Secret;

/// One authentication exchange of one client.
#[derive(Debug)]
pub(crate) struct Exchange {
    state: State,
}

#[derive(Debug)]
enum State {
    /// PLAIN: everything comes in one response.
    Plain,
    /// LOGIN: the name is next.
    Name,
    /// LOGIN: the password of this name is next.
    Password(String),
    Over,
}

/// What the server does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send this (to be base64-encoded) and give the client's response to the next step.
    Challenge(Vec<u8>),
    Done(Credentials),
    /// The response is malformed; the exchange is over.
    Failed,
}

impl Exchange {
    /// `None` for a mechanism other than PLAIN and LOGIN; letter case does not matter.
    pub(crate) fn new(mechanism: &str) -> Option<Exchange> {
        let state = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => State::Plain,
            "LOGIN" => State::Name,
            _ => return None,
        };
        Some(Exchange { state })
    }

    /// Takes the initial response, or `None` where the client sent none, then one response after
    /// each challenge. After `Done` or `Failed` every further step is `Failed`.
    pub(crate) fn step(&mut self, response: Option<&[u8]>) -> Step {
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, response) {
            (state @ State::Plain, None) => self.challenge(state, b""),
            (state @ State::Name, None) => self.challenge(state, b"Username:"),
            (State::Plain, Some(response)) => finished(plain(response)),
            (State::Name, Some(response)) => match name(response) {
                Some(name) => self.challenge(State::Password(name), b"Password:"),
                None => Step::Failed,
            },
            (State::Password(authcid), Some(response)) => {
                finished(password(response).map(|p| Credentials::new(authcid, p)))
            }
            (State::Password(_), None) | (State::Over, _) => Step::Failed,
        }
    }

    fn challenge(&mut self, state: State, text: &[u8]) -> Step {
        self.state = state;
        Step::Challenge(text.to_vec())
    }
}

fn finished(credentials: Option<Credentials>) -> Step {
    credentials.map_or(Step::Failed, Step::Done)
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 section 2).
fn plain(response: &[u8]) -> Option<Credentials> {
    let mut parts = response.splitn(3, |&b| b == 0);
    let authzid = parts.next()?;
    let authcid = parts.next()?;
    let password = password(parts.next()?)?;
    let authzid = if authzid.is_empty() {
        String::new()
    } else {
        name(authzid)?
    };
    Some(Credentials {
        authzid,
        authcid: name(authcid)?,
        password,
        stamp: None,
        client: None,
    })
}

/// UTF-8 without NUL, neither empty nor longer than [`MAX_NAME`].
fn name(bytes: &[u8]) -> Option<String> {
    let fits = (1..=MAX_NAME).contains(&bytes.len()) && !bytes.contains(&0);
    if !fits {
        return None;
    }
    String::from_utf8(bytes.to_vec()).ok()
}

/// Octets without NUL, neither none nor more than [`MAX_PASSWORD`]. Not held to UTF-8: old
/// clients send what the password was made with.
fn password(bytes: &[u8]) -> Option<Secret> {
    let fits = (1..=MAX_PASSWORD).contains(&bytes.len()) && !bytes.contains(&0);
    fits.then(|| Secret::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the responses through one exchange and writes down what came of them.
    fn talk(mechanism: &str, responses: &[Option<&[u8]>]) -> String {
        let mut exchange = Exchange::new(mechanism).unwrap();
        let steps = responses.iter().map(|&r| match exchange.step(r) {
            Step::Challenge(text) => format!("+{}", String::from_utf8(text).unwrap()),
            Step::Done(c) => format!(
                "{}/{}/{}",
                c.authzid,
                c.authcid,
                String::from_utf8_lossy(c.password.bytes())
            ),
            Step::Failed => "failed".to_owned(),
        });
        steps.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn exchanges() {
        for (mechanism, responses, expected) in [
            (
                "PLAIN",
                &[Some(&b"\0tim\0tanstaaf"[..])][..],
                "/tim/tanstaaf",
            ),
            (
                "plain",
                &[None, Some(b"\0tim\0tanstaaf")],
                "+ /tim/tanstaaf",
            ),
            // RFC 4616 section 4: a proxy login is well formed; refusing it is not the exchange's.
            (
                "PLAIN",
                &[Some(b"Ursel\0Kurt\0xipj3plmq")],
                "Ursel/Kurt/xipj3plmq",
            ),
            (
                "PLAIN",
                &[Some(b"\0tim\0\xe9t\xe9")],
                "/tim/\u{fffd}t\u{fffd}",
            ),
            ("PLAIN", &[Some(b"")], "failed"),
            ("PLAIN", &[Some(b"tim\0tanstaaf")], "failed"),
            ("PLAIN", &[Some(b"\0\0tanstaaf")], "failed"),
            ("PLAIN", &[Some(b"\0tim\0")], "failed"),
            ("PLAIN", &[Some(b"\0tim\0tan\0staaf")], "failed"),
            ("PLAIN", &[Some(b"\0t\xffm\0tanstaaf")], "failed"),
            ("PLAIN", &[Some(b"\xff\0tim\0tanstaaf")], "failed"),
            ("PLAIN", &[Some(b"\0a\0b"), Some(b"\0a\0b")], "/a/b failed"),
            ("PLAIN", &[Some(b"x"), None], "failed failed"),
            (
                "LOGIN",
                &[None, Some(b"tim"), Some(b"tanstaaf")],
                "+Username: +Password: /tim/tanstaaf",
            ),
            (
                "Login",
                &[Some(b"tim"), Some(b"tanstaaf")],
                "+Password: /tim/tanstaaf",
            ),
            ("LOGIN", &[None, Some(b"")], "+Username: failed"),
            ("LOGIN", &[Some(b"t\0m")], "failed"),
            ("LOGIN", &[Some(b"tim"), Some(b"")], "+Password: failed"),
            ("LOGIN", &[Some(b"tim"), Some(b"a\0b")], "+Password: failed"),
            ("LOGIN", &[Some(b"tim"), None], "+Password: failed"),
        ] {
            assert_eq!(talk(mechanism, responses), expected, "{responses:?}");
        }
    }

    #[test]
    fn lengths_have_limits() {
        let response = |name: usize, password: usize| {
            let mut r = vec![0];
            r.extend(std::iter::repeat_n(b'n', name));
            r.push(0);
            r.extend(std::iter::repeat_n(b'p', password));
            matches!(
                Exchange::new("PLAIN").unwrap().step(Some(&r)),
                Step::Done(_)
            )
        };
        assert!(response(MAX_NAME, MAX_PASSWORD));
        assert!(!response(MAX_NAME + 1, 1));
        assert!(!response(1, MAX_PASSWORD + 1));
    }

    #[test]
    fn announced_mechanisms_exist() {
        assert!(
            ["PLAIN", "LOGIN"]
                .iter()
                .all(|m| Exchange::new(m).is_some())
        );
        assert!(Exchange::new("CRAM-MD5").is_none() && Exchange::new("").is_none());
    }
}
