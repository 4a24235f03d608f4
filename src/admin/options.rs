//! The options all commands take, and the settings they lead to.

use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::console::Failure;
use crate::config::{Config, Fault, Inspect, ParseSettings, Syntax, parse};
use crate::server::{inspect_authorities, inspect_certificate};
use crate::sys::accounts::{Identity, group};

/// More of a settings file is not read; parsing refuses less than that.
const MAX_OCTETS: u64 = 2 << 20;

/// Where settings and everything else are, as far as the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) config: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) board: Option<String>,
    /// The settings are written as those of OpenWrt.
    pub(crate) uci: bool,
}

/// Where OpenWrt has settings.
const UCI_FILE: &str = "/etc/config/dovelet";

impl Options {
    /// `--data`, else what holds without it; absolute. Errors: the working directory is gone.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        let usual = if Identity::own().is_root() {
            "/var/lib/dovelet"
        } else {
            "dovelet-data"
        };
        let path = self.data.as_deref().unwrap_or(Path::new(usual));
        absolute(path)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(Failure::because(path.display()))
}

/// What this machine calls itself; `localhost` where it has no name.
fn hostname() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().into_owned();
    if name.is_empty() || name == "(none)" {
        return "localhost".to_owned();
    }
    name
}

/// The settings that hold: of the file of `--config`, else with `--uci` of `/etc/config/dovelet`, else of
/// `dovelet.toml` in the data directory if there is one, and the rest by default. Errors: the file cannot be read or has faults; the
/// first line of the failure says so, every further one is a fault with its place.
pub(crate) fn load(options: &Options) -> Result<Config, Failure> {
    read(options, None)
}

/// As `load`; certificates that cannot be used and groups that this machine does not have are faults, too.
pub(super) fn load_thoroughly(options: &Options) -> Result<Config, Failure> {
    let inspect = Inspect {
        certificate: inspect_certificate,
        authorities: inspect_authorities,
        group: |name| group(name).is_some(),
    };
    read(options, Some(inspect))
}

fn read(options: &Options, inspect: Option<Inspect>) -> Result<Config, Failure> {
    let data_dir = options.data_dir()?;
    let (path, text) = text(options, &data_dir)?;
    let settings = ParseSettings {
        directory: path.parent().unwrap_or(Path::new("/")).to_owned(),
        data_dir_override: options.data.is_some().then(|| data_dir.clone()),
        data_dir,
        hostname: hostname(),
        board_override: options.board.clone(),
        syntax: match options.uci {
            true => Syntax::Uci,
            false => Syntax::Toml,
        },
        inspect,
    };
    parse(&text, settings).map_err(|faults| faulty(&path, &faults))
}

/// The file and what is in it; nothing where there need not be one.
fn text(options: &Options, data_dir: &Path) -> Result<(PathBuf, String), Failure> {
    let path = match &options.config {
        Some(path) => absolute(path)?,
        None if options.uci => PathBuf::from(UCI_FILE),
        None => data_dir.join("dovelet.toml"),
    };
    let read = std::fs::File::open(&path).and_then(|file| {
        let mut octets = Vec::new();
        file.take(MAX_OCTETS).read_to_end(&mut octets)?;
        String::from_utf8(octets).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            io::Error::other(not_text(error.as_bytes().get(..valid).unwrap_or_default()))
        })
    });
    match read {
        Ok(text) => Ok((path, text)),
        Err(error)
            if error.kind() == ErrorKind::NotFound && options.config.is_none() && !options.uci =>
        {
            Ok((path, String::new()))
        }
        Err(error) => Err(Failure::because(path.display())(error)),
    }
}

/// What is wrong with a file that is UTF-8 only so far.
fn not_text(before: &[u8]) -> String {
    let text = String::from_utf8_lossy(before);
    let last = text.rsplit('\n').next().unwrap_or_default();
    let (line, column) = (text.matches('\n').count() + 1, last.chars().count() + 1);
    format!("what stands at {line}:{column} is not UTF-8, in which settings are written")
}

fn faulty(path: &Path, faults: &[Fault]) -> Failure {
    let path = path.display();
    let count = match faults.len() {
        1 => "a fault".to_owned(),
        count => format!("{count} faults"),
    };
    let mut text = format!("{count} in the settings");
    for fault in faults {
        text.push_str(&format!("\n{path}:{fault}"));
    }
    Failure(text)
}
