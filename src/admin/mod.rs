//! The command line: `dovelet help` describes it.

mod adopt;
mod arguments;
mod capabilities;
mod console;
mod deliver;
mod demo;
mod doctor;
mod help;
mod listing;
mod options;
mod patient;
mod prompt;
mod run;
mod sample;
mod serve;
mod settings;
#[cfg(test)]
mod tests;
mod user;
mod users_file;

use run::run;

/// Runs the command that the process was called with.
pub(crate) fn main() -> std::process::ExitCode {
    // One of the server's processes?
    if let Some(code) = crate::server::role_main() {
        return code;
    }
    let (mut input, mut out, mut err) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let console = console::Console::new(&mut input, &mut out, &mut err);
    run(std::env::args_os().skip(1), console).into()
}
