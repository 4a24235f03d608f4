//! The options all commands take, and the settings they lead to.

use std::path::{Path, PathBuf};

use super::console::Failure;
use crate::config::Config;
use crate::sys::accounts::Identity;

/// Where settings and everything else are, as far as the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) config: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) board: Option<String>,
}

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

/// The settings that hold.
pub(crate) fn load(options: &Options) -> Result<Config, Failure> {
    let mut config = Config::with_defaults(options.data_dir()?, hostname());
    if let Some(board) = &options.board {
        config.board.clone_from(board);
    }
    Ok(config)
}
