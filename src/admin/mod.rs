//! The command line: `dovelet help` describes it.

mod adopt;
mod app_password;
mod arguments;
mod backup;
mod capabilities;
mod check_data;
mod console;
mod convert;
mod deliver;
mod demo;
mod doctor;
mod file_system;
mod healthcheck;
mod help;
mod import;
mod intact;
mod listing;
mod options;
mod patient;
mod prompt;
mod replica;
mod run;
mod sample;
mod serve;
mod settings;
mod teller;
#[cfg(test)]
mod tests;
mod user;
mod users_file;
mod visit;

use run::run;

/// Runs the command that the process was called with.
pub(crate) fn main() -> std::process::ExitCode {
    // One of the server's processes?
    if let Some(code) = crate::server::role_main() {
        return code;
    }
    let (mut input, mut out, mut err) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let watched = std::io::IsTerminal::is_terminal(&err);
    let console = console::Console::new(&mut input, &mut out, &mut err).watched(watched);
    run(std::env::args_os().skip(1), console).into()
}
