//! `dovelet config`: the settings checked, shown, explained.

use super::arguments::Settings;
use super::console::{Console, Exit, Failure};
use super::options::{Options, load};
use crate::config::{reference, show, show_json};

/// Runs one of the commands. Errors: the settings have faults; a warning about something that
/// they name and that is not there is no error, because it may come later.
pub(super) fn run(
    command: Settings,
    options: &Options,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match command {
        Settings::Check => {
            load(options)?;
            console.say("no faults");
        }
        Settings::Show { json: false } => console.print(&show(&load(options)?)),
        Settings::Show { json: true } => console.say(show_json(&load(options)?)),
        Settings::Reference => console.print(&reference()),
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use crate::admin::console::Exit;
    use crate::admin::tests::{Machine, Told};

    fn machine(settings: &str) -> Machine {
        let machine = Machine::new();
        std::fs::write(machine.data().join("dovelet.toml"), settings).unwrap();
        machine
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let machine = machine("hostname = 1\nisolaton = \"user\"\n");
        let file = machine.data().join("dovelet.toml");
        let told = machine.run("config check", "");
        assert_eq!((told.exit, told.out.as_str()), (Exit::Failure, ""));
        let lines: Vec<&str> = told.err.lines().collect();
        assert_eq!(lines[0], "dovelet: 2 faults in the settings");
        assert!(lines[1].starts_with(&format!("{}:1:12: ", file.display())));
        assert!(lines[2].starts_with(&format!("{}:2:1: ", file.display())));
        assert!(lines[2].contains("`isolation`"), "{}", lines[2]);
        // Every other command refuses such settings too.
        for command in ["config show", "doctor", "user list", "serve"] {
            assert_eq!(machine.run(command, ""), told, "{command}");
        }
    }

    #[test]
    fn what_is_shown_is_what_holds() {
        let machine = machine("hostname = \"mail.example.org\"\ndata_dir = \"/elsewhere\"\n");
        assert_eq!(
            machine.run("config check", ""),
            Told::success("no faults\n")
        );
        let told = machine.run("config show --board openwrt-64", "");
        let data = format!("data_dir = \"{}\"\n", machine.data().display());
        for line in [
            &data,
            "hostname = \"mail.example.org\"\n",
            "board = \"openwrt-64\"\n",
        ] {
            assert!(told.out.contains(line), "{line}{}", told.out);
        }
        assert!(
            told.out.contains("isolation = \"shared\"\n"),
            "{}",
            told.out
        );
        // What is shown is itself a settings file.
        std::fs::write(machine.path().join("shown"), &told.out).unwrap();
        let shown = format!(
            "config show --config {}",
            machine.path().join("shown").display()
        );
        assert_eq!(machine.run(&shown, ""), told);
        let json = machine.run("config show --json", "").out;
        assert!(json.contains("\"hostname\":\"mail.example.org\""), "{json}");
    }

    #[test]
    fn a_board_that_is_none_and_a_file_that_is_not_there() {
        let machine = Machine::new();
        let told = machine.run("config check --board toaster", "");
        assert_eq!(told.exit, Exit::Failure);
        assert!(told.err.contains("toaster"), "{}", told.err);
        let told = machine.run("config check --config /nonexistent/x.toml", "");
        assert_eq!(told.exit, Exit::Failure);
        assert!(
            told.err.starts_with("dovelet: /nonexistent/x.toml: "),
            "{}",
            told.err
        );
    }

    #[test]
    fn the_manual_is_a_settings_file() {
        let machine = Machine::new();
        let reference = machine.run("config reference", "");
        let file = machine.path().join("reference.toml");
        std::fs::write(&file, reference.out).unwrap();
        let check = format!("config check --config {}", file.display());
        assert_eq!(machine.run(&check, ""), Told::success("no faults\n"));
    }
}
