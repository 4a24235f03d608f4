//! What a command reads and writes, and what became of it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How a command ended; see `dovelet help exit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    Failure,
    /// The command line was not understood.
    Usage,
    /// As the next, of `deliver`, with the numbers of sysexits: the command line was not understood.
    BadUsage,
    /// There is no message, or some of them could not be taken.
    BadData,
    /// What was to be read is not there.
    NoInput,
    NoUser,
    /// The mail server should keep the message and try again.
    TryAgain,
    Rejected,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::BadUsage => 64,
            Exit::BadData => 65,
            Exit::NoInput => 66,
            Exit::NoUser => 67,
            Exit::TryAgain => 75,
            Exit::Rejected => 77,
        })
    }
}

/// Why a command could not do what it was told: one line for its user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

impl Failure {
    /// `what: error`.
    pub(crate) fn because(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Failure {
        move |error| Failure(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Results go to `out`, everything else to `err`. A reader that went away is no error: what it
/// does not want to read is not written.
pub(crate) struct Console<'a> {
    pub(crate) input: &'a mut (dyn Read + Send),
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    /// Why results could not be written.
    lost: Option<io::Error>,
    /// A person looks at `err`.
    watched: bool,
    /// When the line there was written that the next one takes the place of.
    passing: Option<Duration>,
}

/// How long a line stands before the next one takes its place.
const PASSES_AFTER: Duration = Duration::from_millis(200);

impl<'a> Console<'a> {
    pub(crate) fn new(
        input: &'a mut (dyn Read + Send),
        out: &'a mut (dyn Write + Send),
        err: &'a mut (dyn Write + Send),
    ) -> Console<'a> {
        Console {
            input,
            out,
            err,
            lost: None,
            watched: false,
            passing: None,
        }
    }

    /// As it is, but a person looks at `err`.
    pub(crate) fn watched(self, watched: bool) -> Console<'a> {
        Console { watched, ..self }
    }

    /// How far something is, for whoever waits for it: the next line takes the place of this one. Nothing where
    /// nobody looks.
    pub(crate) fn pass(&mut self, line: impl fmt::Display) {
        self.outputs().pass(line);
    }

    /// A line of results.
    pub(crate) fn say(&mut self, line: impl fmt::Display) {
        self.outputs().say(line);
    }

    /// Results as they are.
    pub(crate) fn print(&mut self, text: &str) {
        self.outputs().print(text);
    }

    /// A line for whoever typed the command. There is nobody to tell if it is lost.
    pub(crate) fn complain(&mut self, line: impl fmt::Display) {
        self.outputs().complain(line);
    }

    /// As [`Console::complain`], without the name of the program in front.
    pub(crate) fn locate(&mut self, line: impl fmt::Display) {
        let _ = self.err.write_all(format!("{line}\n").as_bytes());
    }

    /// Both outputs, to be written from another thread.
    pub(crate) fn outputs(&mut self) -> Outputs<'_> {
        Outputs {
            out: self.out,
            err: self.err,
            lost: &mut self.lost,
            watched: self.watched,
            passing: &mut self.passing,
        }
    }

    /// Tells what was not written. Errors make a success a failure, but for a closed pipe.
    pub(crate) fn finish(mut self, exit: Exit) -> Exit {
        let lost = self.lost.take().or_else(|| self.out.flush().err());
        match lost {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                self.complain(format_args!("standard output: {error}"));
                match exit {
                    Exit::Success => Exit::Failure,
                    other => other,
                }
            }
            _ => exit,
        }
    }
}

/// A console without its input; see [`Console::outputs`].
pub(crate) struct Outputs<'a> {
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    lost: &'a mut Option<io::Error>,
    watched: bool,
    passing: &'a mut Option<Duration>,
}

impl Outputs<'_> {
    /// A line of results.
    pub(crate) fn say(&mut self, line: impl fmt::Display) {
        self.print(&format!("{line}\n"));
    }

    fn print(&mut self, text: &str) {
        self.wipe();
        if self.lost.is_none() {
            *self.lost = self.out.write_all(text.as_bytes()).err();
        }
    }

    /// A line for whoever typed the command.
    pub(crate) fn complain(&mut self, line: impl fmt::Display) {
        self.wipe();
        let _ = self.err.write_all(format!("dovelet: {line}\n").as_bytes());
    }

    /// As [`Console::pass`].
    pub(crate) fn pass(&mut self, line: impl fmt::Display) {
        let now = crate::sys::clock::now();
        let stands = self.passing.is_some_and(|at| now < at + PASSES_AFTER);
        if self.watched && !stands {
            let _ = write!(self.err, "\r{line}\x1b[K");
            let _ = self.err.flush();
            *self.passing = Some(now);
        }
    }

    fn wipe(&mut self) {
        if self.passing.take().is_some() {
            let _ = self.err.write_all(b"\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        for (kind, exit, expected, told) in [
            (ErrorKind::BrokenPipe, Exit::Success, Exit::Success, false),
            (ErrorKind::BrokenPipe, Exit::Failure, Exit::Failure, false),
            (ErrorKind::StorageFull, Exit::Success, Exit::Failure, true),
            (ErrorKind::StorageFull, Exit::Usage, Exit::Usage, true),
        ] {
            let (mut out, mut err) = (Broken(kind), Vec::new());
            let mut input = io::empty();
            let mut console = Console::new(&mut input, &mut out, &mut err);
            console.say("one");
            console.outputs().say("two");
            assert_eq!(console.finish(exit), expected, "{kind}");
            let err = String::from_utf8(err).unwrap();
            assert_eq!(err.starts_with("dovelet: standard output: "), told, "{err}");
        }
    }

    #[test]
    fn lines_that_pass_leave_nothing_behind() {
        for (watched, expected) in [
            (true, "\r1 of 2\x1b[K\r\x1b[Kdovelet: x\n"),
            (false, "dovelet: x\n"),
        ] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut input = io::empty();
            let console = Console::new(&mut input, &mut out, &mut err);
            let mut console = console.watched(watched);
            console.pass("1 of 2");
            // Too soon.
            console.pass("2 of 2");
            console.complain("x");
            console.finish(Exit::Success);
            assert_eq!(String::from_utf8(err).unwrap(), expected);
        }
    }

    #[test]
    fn results_and_complaints_are_kept_apart() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut input = io::empty();
        let mut console = Console::new(&mut input, &mut out, &mut err);
        console.say("a result");
        console.complain("a complaint");
        console.locate("file:1:2: a fault");
        console.finish(Exit::Success);
        assert_eq!(out, b"a result\n");
        assert_eq!(err, b"dovelet: a complaint\nfile:1:2: a fault\n");
    }
}
