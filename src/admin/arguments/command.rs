//! The commands there are.

use crate::admin::adopt::Wish;
use crate::admin::app_password;
use crate::admin::backup::{Backup, Restore};
use crate::admin::convert::Convert;
use crate::admin::deliver::Deliver;
use crate::admin::help;
use crate::admin::import::Import;
use crate::mailbox::Care;
use std::path::PathBuf;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve {
        demo: bool,
    },
    User(User),
    Config(Settings),
    Care {
        user: Option<String>,
        care: Care,
        json: bool,
    },
    Deliver(Deliver),
    Adopt(Wish),
    Import(Import),
    Backup(Backup),
    Restore(Restore),
    Convert(Convert),
    Capabilities {
        json: bool,
    },
    Healthcheck {
        json: bool,
    },
    CheckData {
        directory: PathBuf,
        json: bool,
    },
    Help(&'static help::Topic),
    Version,
}

/// What to do with users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Add { name: String, stdin: bool },
    Passwd { name: String, stdin: bool },
    AppPassword(AppPassword),
    List { name: Option<String>, json: bool },
    Delete { name: String },
}

/// What to do with app passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppPassword {
    Add {
        name: String,
        wanted: app_password::Wanted,
    },
    List {
        name: Option<String>,
        json: bool,
    },
    Delete {
        name: String,
        id: String,
    },
}

/// What to do with settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settings {
    Check,
    Show { json: bool },
    Reference,
}

/// Every command; the first word of a command line is one of them.
pub(crate) const COMMANDS: [&str; 18] = [
    "serve",
    "user",
    "config",
    "doctor",
    "purge",
    "altmove",
    "index",
    "deliver",
    "adopt",
    "export",
    "import",
    "backup",
    "restore",
    "convert",
    "capabilities",
    "healthcheck",
    "check-data",
    "help",
];
/// How commands are written, as the help shows them.
#[cfg(test)]
pub(crate) const FORMS: [&str; 26] = [
    "serve [--demo]",
    "user add NAME [--password-stdin]",
    "user passwd NAME [--password-stdin]",
    "user app-password add NAME [--for SCOPE] [--until DAY] [--label TEXT]",
    "user app-password list [NAME] [--json]",
    "user app-password delete NAME ID",
    "user list [NAME] [--json]",
    "user delete NAME",
    "config check",
    "config show [--json]",
    "config reference",
    "doctor [--user NAME] [--rebuild | --scrub] [--json]",
    "purge [--user NAME] [--json]",
    "altmove [--before DAY] [--saved-before DAY] [--larger SIZE] [--back] [--user NAME] [--json]",
    "index stats [--user NAME] [--json]",
    "index cache [--user NAME] [--mailbox BOX] [--forget] [--json]",
    "deliver -d USER [-m BOX] [-f FROM] [-a ORIG] [-e] [-p FILE]",
    "adopt PATH [--dry-run] [--json]",
    "export PATH --to dovecot [--dry-run] [--json]",
    "import -u USER [-m BOX] [--seen] [--json] PATH...",
    "backup -u USER [--verify] [--json] DIR [BOX...]",
    "restore -u USER [--merge] [--into BOX] [--json] DIR [BOX...]",
    "convert FROM TO [--user NAME] [--json]",
    "capabilities [--json]",
    "healthcheck [--json]",
    "check-data [--json] DIR",
];
pub(super) const USER: [&str; 5] = ["add", "passwd", "app-password", "list", "delete"];
pub(super) const APP_PASSWORD: [&str; 3] = ["add", "list", "delete"];
pub(super) const INDEX: [&str; 2] = ["stats", "cache"];
pub(super) const CONFIG: [&str; 3] = ["check", "show", "reference"];
