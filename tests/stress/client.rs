//! A connection that tells its model all that it sends and gets.

use crate::doing::{Doing, Fetch};
use crate::kind::Kind;
use crate::model::Model;
use crate::support::{Imap, PASSWORD, Random, Server};
use crate::truth::{Checked, Truth};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;

/// Lines that are shown when something is wrong.
const LINES: usize = 60;
/// Octets of a line that are shown.
const SHOWN: usize = 300;

pub(crate) struct Client<'a> {
    server: &'a Server,
    imap: Imap,
    user: &'static str,
    pub(crate) random: Random,
    pub(crate) model: Model<'a>,
    pub(crate) name: String,
    /// Messages that it appended.
    pub(crate) made: u64,
    lines: VecDeque<String>,
    tag: u32,
    /// Something is wrong somewhere: all end.
    failed: &'a AtomicBool,
}

impl<'a> Client<'a> {
    pub(crate) fn new(
        (server, failed): (&'a Server, &'a AtomicBool),
        (user, truth): (&'static str, &'a Truth),
        kind: &'static Kind,
        seed: u64,
    ) -> Client<'a> {
        let mut client = Client {
            server,
            imap: connect(server),
            user,
            random: Random::new(seed),
            model: Model::new(kind, truth),
            name: format!("{user}-{}", kind.name),
            made: 0,
            lines: VecDeque::new(),
            tag: 0,
            failed,
        };
        client.greet();
        client
    }

    /// Logs in and asks for what its kind asks for.
    fn greet(&mut self) {
        let answer = self.imap.login(self.user, PASSWORD).unwrap();
        assert!(answer.status.starts_with("OK"), "{answer:?}");
        for command in self.model.kind.begins() {
            let answer = self.imap.ok(&command);
            for response in answer.untagged {
                self.line(&format!("S: {response}"));
                let heard = self.model.hear(&response);
                self.check(heard);
            }
        }
        if self.model.kind.compress {
            self.imap.compress().unwrap();
        }
    }

    /// Loses the connection and comes again, with what it remembers.
    pub(crate) fn again(&mut self, abruptly: bool) {
        self.line("disconnected");
        if abruptly {
            self.imap
                .send(b"x UID FETCH 1:* (FLAGS BODY.PEEK[])\r\n")
                .unwrap();
        }
        self.model.lose();
        self.imap = connect(self.server);
        self.greet();
    }

    fn line(&mut self, text: &str) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        let end = text
            .char_indices()
            .nth(SHOWN)
            .map_or(text.len(), |(at, _)| at);
        self.lines.push_back(text[..end].to_owned());
    }

    fn check(&self, checked: Checked) {
        let Err(wrong) = checked else { return };
        let first = !self.failed.swap(true, Ordering::SeqCst);
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        // What follows from it is of no interest.
        if first {
            eprintln!(
                "{}\n{} ({:?}): {wrong}\n{:?}",
                lines.join("\n"),
                self.name,
                self.model.mailbox,
                self.model.view.messages
            );
        }
        panic!("{}: {wrong}", self.name);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Runs a command; every response is checked when it comes.
    pub(crate) fn run(&mut self, doing: Doing) {
        let text = doing.text(&self.model.view);
        let idles = matches!(doing, Doing::Idle);
        self.tag += 1;
        let tag = format!("s{} ", self.tag);
        self.line(&format!("C: {tag}{text}"));
        self.model.begin(doing);
        self.imap
            .send(format!("{tag}{text}\r\n").as_bytes())
            .unwrap();
        loop {
            let response = self.imap.response();
            let response = response.unwrap_or_else(|error| {
                self.check(Err(format!("no response: {error}")));
                String::new()
            });
            self.line(&format!("S: {response}"));
            if let Some(status) = response.strip_prefix(&tag) {
                let ended = self.model.end(status);
                return self.check(ended);
            }
            if idles && response.starts_with('+') {
                sleep(self.random.milliseconds(0, 30));
                self.imap.send(b"DONE\r\n").unwrap();
            }
            let heard = match response.strip_prefix("* ") {
                Some(untagged) => self.model.hear(untagged),
                None => Ok(()),
            };
            self.check(heard);
        }
    }

    /// Asks for everything that tells one message from another.
    pub(crate) fn look(&mut self) {
        self.run(Doing::Fetch(Fetch::everything(self.model.kind.condstore)));
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed.store(true, Ordering::SeqCst);
        }
    }
}

fn connect(server: &Server) -> Imap {
    Imap::connect(server.imap).unwrap()
}
