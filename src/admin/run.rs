//! From a command line to an exit code.

use std::ffi::OsString;

use super::arguments::{self, Command, Misuse};
use super::console::{Console, Exit};
use super::options::{Options, load};
use super::{adopt, backup, capabilities, check_data, convert, deliver, doctor, healthcheck};
use super::{import, serve, settings, user};

/// Runs the command of these words, which follow the name of the program.
pub(super) fn run(words: impl IntoIterator<Item = OsString>, mut console: Console<'_>) -> Exit {
    let exit = match arguments::parse(words) {
        Ok((command, options)) => obey(command, &options, &mut console),
        Err(misuse) => refuse(&misuse, &mut console),
    };
    console.finish(exit)
}

fn refuse(misuse: &Misuse, console: &mut Console<'_>) -> Exit {
    console.complain(&misuse.what);
    let topic = misuse.topic.map(|topic| format!(" {topic}"));
    let topic = topic.unwrap_or_default();
    console.locate(format_args!("Try \"dovelet help{topic}\"."));
    match misuse.topic {
        // Mail servers know these numbers.
        Some("deliver" | "import" | "backup" | "restore" | "convert") => Exit::BadUsage,
        _ => Exit::Usage,
    }
}

fn obey(command: Command, options: &Options, console: &mut Console<'_>) -> Exit {
    let done = match command {
        Command::Help(topic) => {
            console.print(topic.text);
            Ok(Exit::Success)
        }
        Command::Version => {
            console.say(concat!("dovelet ", env!("CARGO_PKG_VERSION")));
            Ok(Exit::Success)
        }
        Command::User(command) => {
            load(options).and_then(|config| user::run(command, &config, console))
        }
        Command::Care { user, care, json } => load(options).and_then(|config| {
            let treatment = doctor::Treatment { care, json };
            doctor::run(user.as_deref(), treatment, &config, console)
        }),
        Command::Deliver(wanted) => Ok(deliver::run(&wanted, options, console)),
        Command::Adopt(wish) => {
            load(options).and_then(|config| adopt::run(&wish, &config, console))
        }
        Command::Import(wanted) => Ok(import::run(&wanted, options, console)),
        Command::Backup(wanted) => Ok(backup::backup(&wanted, options, console)),
        Command::Restore(wanted) => Ok(backup::restore(&wanted, options, console)),
        Command::Convert(wanted) => Ok(convert::run(&wanted, options, console)),
        Command::Serve { demo } => serve::serve(demo, options, console),
        Command::Capabilities { json } => {
            capabilities::run(json, console);
            Ok(Exit::Success)
        }
        Command::Healthcheck { json } => {
            load(options).map(|config| healthcheck::run(json, &config, console))
        }
        Command::CheckData { directory, json } => check_data::run(&directory, json, console),
        Command::Config(command) => settings::run(command, options, console),
    };
    done.unwrap_or_else(|failure| {
        console.complain(failure);
        Exit::Failure
    })
}
