//! The one executable: every role and every command starts here.

fn main() -> std::process::ExitCode {
    dovelet::main()
}
