//! The command line.

/// Runs the command that the process was called with.
pub(crate) fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
