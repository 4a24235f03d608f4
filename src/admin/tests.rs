//! Whole commands in a directory of their own.

use super::console::{Console, Exit};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What a command told, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) exit: Exit,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    pub(crate) fn success(out: &str) -> Told {
        Told {
            exit: Exit::Success,
            out: out.to_owned(),
            err: String::new(),
        }
    }

    pub(crate) fn failure(err: &str) -> Told {
        Told {
            exit: Exit::Failure,
            out: String::new(),
            err: err.to_owned(),
        }
    }
}

/// A directory that every command is told to use.
pub(crate) struct Machine(tempfile::TempDir);

impl Machine {
    pub(crate) fn new() -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        std::fs::create_dir(machine.data()).unwrap();
        machine
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Runs the words of `line` with `input` on the standard input.
    pub(crate) fn run(&self, line: &str, input: &str) -> Told {
        let words = line.split_ascii_whitespace().map(OsString::from);
        let data = [OsString::from("--data"), self.data().into_os_string()];
        run(words.chain(data), input)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

fn run(words: impl IntoIterator<Item = OsString>, input: &str) -> Told {
    let (mut input, mut out, mut err) = (input.as_bytes(), Vec::new(), Vec::new());
    let console = Console::new(&mut input, &mut out, &mut err);
    let exit = super::run(words, console);
    let text = |octets| String::from_utf8(octets).unwrap();
    Told {
        exit,
        out: text(out),
        err: text(err),
    }
}

#[test]
fn every_page_is_shown() {
    let machine = Machine::new();
    for topic in &super::help::TOPICS {
        let told = machine.run(&format!("help {}", topic.name), "");
        assert_eq!(told, Told::success(topic.text));
    }
    assert_eq!(machine.run("--help", ""), machine.run("help", ""));
    let told = machine.run("user add --help", "");
    assert_eq!(
        told,
        Told::success(super::help::topic("user").unwrap().text)
    );
}

#[test]
fn version() {
    let version = format!("dovelet {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(Machine::new().run("--version", ""), Told::success(&version));
}

#[test]
fn misuse_is_told_and_where_to_read_more() {
    let told = Machine::new().run("user ad ann", "");
    let expected =
        "dovelet: unknown command user \"ad\"; did you mean \"add\"?\nTry \"dovelet help user\".\n";
    assert_eq!((told.exit, told.err.as_str()), (Exit::Usage, expected));
    assert_eq!(told.out, "");
    let told = run([], "");
    let expected = "dovelet: which command?\nTry \"dovelet help\".\n";
    assert_eq!((told.exit, told.err.as_str()), (Exit::Usage, expected));
}
