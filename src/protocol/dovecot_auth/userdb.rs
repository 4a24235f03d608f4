//! Where users are: `USER`, `PASS` and `LIST`, for whoever delivers or manages mail on this machine.

use super::VERSION;
use crate::auth::{Found, User, Wanted};
use crate::protocol::{Event, Machine, Output, Progress, Turn};
use crate::wire::dovecot_auth::{Command, MAX_LINE, line, parse};
use crate::wire::lines::{Line, Lines};
use std::time::Duration;

/// A connection by which others ask.
pub(crate) struct Userdb {
    lines: Lines,
    patience: Duration,
    doing: Doing,
}

enum Doing {
    Greeting,
    Reading,
    Asked(Request),
    Answered(Request, Found),
    /// The names behind this one are next.
    Listing(u32, String),
    Ended,
}

#[derive(Clone, Copy)]
enum Request {
    User(u32),
    Pass(u32),
    List(u32),
}

impl Userdb {
    /// `patience`: how long a client may be silent.
    pub(crate) fn new(patience: Duration) -> Userdb {
        Userdb {
            lines: Lines::new(MAX_LINE),
            patience,
            doing: Doing::Greeting,
        }
    }

    /// A question, if the client has one.
    fn command(&mut self, command: Command) -> Option<Wanted> {
        match command {
            Command::Version { major: 1 } | Command::Cpid | Command::Unknown => {}
            Command::User { id, name } => return Some(self.ask(Request::User(id), name)),
            Command::Pass { id, name } => return Some(self.ask(Request::Pass(id), name)),
            Command::List { id } => {
                self.doing = Doing::Listing(id, String::new());
            }
            Command::Version { .. }
            | Command::Auth { .. }
            | Command::Cont { .. }
            | Command::Cancel { .. } => self.doing = Doing::Ended,
        }
        None
    }

    fn ask(&mut self, request: Request, name: String) -> Wanted {
        self.doing = Doing::Asked(request);
        Wanted::User(name)
    }

    fn answered(&mut self, request: Request, found: Found, out: &mut Output) {
        let out = out.buffer();
        match (request, found) {
            (Request::User(id), Found::User(user, mail)) => told(id, &user, mail, out),
            (Request::Pass(id), Found::User(user, _)) => {
                // Nobody needs more than to know that there is a password.
                line(
                    ["PASS", &id.to_string(), &format!("user={}", user.name)],
                    out,
                );
            }
            (Request::List(id), Found::Names(names)) => {
                let number = id.to_string();
                for name in &names {
                    line(["LIST", &number, name], out);
                }
                match names.into_iter().next_back() {
                    Some(last) => self.doing = Doing::Listing(id, last),
                    None => line(["DONE", &number], out),
                }
            }
            (Request::User(id) | Request::Pass(id) | Request::List(id), found) => {
                let number = id.to_string();
                match found {
                    Found::Nothing => line(["NOTFOUND", &number], out),
                    _ => line(["FAIL", &number, "reason=temp"], out),
                }
            }
        }
    }
}

/// `USER`, with what the source of users says itself, and where the mail is.
fn told(id: u32, user: &User, mail: Option<String>, out: &mut Vec<u8>) {
    let number = |key: &str, number: Option<u32>| number.map(|n| format!("{key}={n}"));
    let home = user.home.as_ref().and_then(|home| home.to_str());
    let more = [
        number("uid", user.uid),
        number("gid", user.gid),
        home.map(|home| format!("home={home}")),
        mail.map(|mail| format!("mail={mail}")),
    ];
    let id = id.to_string();
    let fields = ["USER", &id, &user.name];
    let more = more.iter().flatten().map(String::as_str);
    line(fields.into_iter().chain(more), out);
}

impl Machine for Userdb {
    type Question = Wanted;
    type Answer = Found;

    fn input(&mut self, bytes: &[u8]) -> usize {
        self.lines.input(bytes)
    }

    fn advance(&mut self, _turn: Turn, out: &mut Output) -> Progress<Wanted> {
        loop {
            match std::mem::replace(&mut self.doing, Doing::Reading) {
                Doing::Greeting => {
                    line(VERSION, out.buffer());
                    let pid = std::process::id().to_string();
                    line(["SPID", &pid], out.buffer());
                }
                Doing::Reading => match self.lines.next() {
                    Line::NeedInput => return Progress::NeedInput,
                    Line::TooLong => self.doing = Doing::Ended,
                    Line::Whole(text) => match parse(&text) {
                        Some(command) => {
                            if let Some(wanted) = self.command(command) {
                                return Progress::Ask(wanted);
                            }
                        }
                        None => self.doing = Doing::Ended,
                    },
                },
                Doing::Answered(request, found) => self.answered(request, found, out),
                Doing::Listing(id, after) if out.full() => {
                    self.doing = Doing::Listing(id, after);
                    return Progress::Flush;
                }
                Doing::Listing(id, after) => {
                    self.doing = Doing::Asked(Request::List(id));
                    return Progress::Ask(Wanted::Names { after });
                }
                asked @ Doing::Asked(_) => {
                    self.doing = asked;
                    return Progress::NeedInput;
                }
                Doing::Ended => {
                    self.doing = Doing::Ended;
                    return Progress::Done;
                }
            }
        }
    }

    fn answer(&mut self, found: Found) {
        self.doing = match std::mem::replace(&mut self.doing, Doing::Reading) {
            Doing::Asked(request) => Doing::Answered(request, found),
            other => other,
        };
    }

    fn event(&mut self, event: Event) {
        if matches!(event, Event::TimedOut | Event::Stopping | Event::Gone) {
            self.doing = Doing::Ended;
        }
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Users;

    const USERS: &str = "ann:{PLAIN}x:1000:100::/home/ann\nbob@example.org:!\n";

    /// What is said to these lines; `None` if the connection ends.
    fn said(users: Option<&Users>, text: &str, by: usize) -> Option<String> {
        let mut userdb = Userdb::new(Duration::from_secs(60));
        let mut out = Output::new();
        let mut ended = false;
        for piece in text.as_bytes().chunks(by) {
            userdb.input(piece);
            ended |= loop {
                match userdb.advance(Turn::Quick, &mut out) {
                    Progress::Ask(wanted) => userdb.answer(match users {
                        Some(users) => users.look_up(&wanted, 1),
                        None => Found::Unavailable,
                    }),
                    Progress::Done => break true,
                    Progress::Flush => {}
                    _ => break false,
                }
            };
        }
        let said = String::from_utf8(out.bytes().to_vec()).unwrap();
        let greeting = format!("VERSION\t1\t2\nSPID\t{}\n", std::process::id());
        let said = said.strip_prefix(&greeting).unwrap().to_owned();
        (!ended).then_some(said)
    }

    #[test]
    fn users_are_found_and_listed() {
        let (users, _) = Users::parse(USERS.as_bytes());
        for (text, expected) in [
            (
                "USER\t1\tAnn\tservice=lda\n",
                Some("USER\t1\tann\tuid=1000\tgid=100\thome=/home/ann\n"),
            ),
            (
                "USER\t2\tbob@example.org\n",
                Some("USER\t2\tbob@example.org\n"),
            ),
            ("USER\t3\tbob\n", Some("NOTFOUND\t3\n")),
            // No password, whatever is stored.
            ("PASS\t4\tann\n", Some("PASS\t4\tuser=ann\n")),
            ("PASS\t4\teve\n", Some("NOTFOUND\t4\n")),
            (
                "LIST\t5\tservice=x\nUSER\t6\tx\n",
                Some("LIST\t5\tann\nLIST\t5\tbob@example.org\nDONE\t5\nNOTFOUND\t6\n"),
            ),
            ("CPID\t1\nFUTURE\n", Some("")),
            ("AUTH\t1\tPLAIN\n", None),
            ("USER\tx\n", None),
            ("VERSION\t2\t0\n", None),
        ] {
            for by in [1, 1000] {
                let text = format!("{text}\n");
                let text = match text.starts_with("VERSION") {
                    true => text,
                    false => format!("VERSION\t1\t0\n{text}"),
                };
                assert_eq!(said(Some(&users), &text, by).as_deref(), expected, "{text}");
            }
        }
        let unknown = said(None, "USER\t1\tann\nLIST\t2\n", 1000);
        assert_eq!(
            unknown.unwrap(),
            "FAIL\t1\treason=temp\nFAIL\t2\treason=temp\n"
        );
        let long = format!("{}\n", "x".repeat(MAX_LINE + 1));
        assert_eq!(said(Some(&users), &long, 1000), None);
    }
}
