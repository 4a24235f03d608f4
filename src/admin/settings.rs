//! `dovelet config`: the settings checked, shown, explained.

use super::arguments::Settings;
use super::console::{Console, Exit, Failure};
use super::options::{Options, load, load_thoroughly};
use super::{listing, user};
use crate::config::{reference, show, show_json};

/// Runs one of the commands. Errors: the settings have faults, or name certificates that cannot be
/// served with. A file of users that is not there yet, or has lines that are not used, is no error.
pub(super) fn run(
    command: Settings,
    options: &Options,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match command {
        Settings::Check => {
            let config = load_thoroughly(options)?;
            // The usual one comes with the first user.
            let usual = config.data_dir.join("users");
            for path in user::files(&config).filter(|path| *path != usual || path.exists()) {
                listing::inspect(path, &config, console)?;
            }
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
        assert_eq!(told.exit, Exit::Usage);
        let lines: Vec<&str> = told.err.lines().collect();
        assert!(
            lines[0].starts_with("dovelet: unknown board \"toaster\"; the boards are generic, "),
            "{}",
            told.err
        );
        std::fs::write(
            machine.path().join("latin"),
            b"# \n\nhostname = \"b\xfccher\"\n",
        )
        .unwrap();
        let latin = machine.path().join("latin").display().to_string();
        let told = machine.run(&format!("config check --config {latin}"), "");
        let place = "what stands at 3:14 is not UTF-8";
        assert!(
            told.exit == Exit::Failure && told.err.contains(place),
            "{}",
            told.err
        );
        let told = machine.run("config check --config /nonexistent/x.toml", "");
        assert_eq!(told.exit, Exit::Failure);
        assert!(
            told.err.starts_with("dovelet: /nonexistent/x.toml: "),
            "{}",
            told.err
        );
    }

    #[test]
    fn what_would_keep_it_from_serving_is_a_fault() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["b.test".to_owned()]).unwrap();
        let machine = machine(
            "[tls]\ncertificate = \"a.pem\"\nkey = \"a.key\"\n\
             [[tls.name]]\nname = \"b.test\"\ncertificate = \"b.pem\"\nkey = \"b.key\"\n\
             [[users]]\nsource = \"file\"\npath = \"who\"\n",
        );
        let data = machine.data();
        let write = |name: &str, text: &str| std::fs::write(data.join(name), text).unwrap();
        write("who", "ann:{PLAIN}x::::::\n/:x\n");
        let check = |expected: &[&str]| {
            let told = machine.run("config check", "");
            let faults: Vec<&str> = told.err.lines().collect();
            assert_eq!(faults.len(), expected.len(), "{}", told.err);
            for (fault, expected) in faults.iter().zip(expected) {
                let fault = fault.replace(&format!("{}/", data.display()), "");
                assert!(fault.starts_with(expected), "{fault}");
            }
            assert_eq!(told.exit == Exit::Success, told.out == "no faults\n");
            told.exit
        };
        let faults = |faults: [&str; 2]| {
            let [one, two] = faults;
            check(&["dovelet: 2 faults in the settings", one, two])
        };
        let missing = [
            "dovelet.toml:2:15: `certificate`: a.pem: No such file",
            "dovelet.toml:6:15: `certificate`: b.pem: No such file",
        ];
        assert_eq!(faults(missing), Exit::Failure);
        write("a.pem", &made.cert.pem());
        write("a.key", "");
        write("b.pem", &other.cert.pem());
        write("b.key", &made.signing_key.serialize_pem());
        let wrong = [
            "dovelet.toml:3:7: `key`: a.key: there is none in the file",
            "dovelet.toml:7:7: `key`: b.key for b.pem: the key belongs to another certificate",
        ];
        assert_eq!(faults(wrong), Exit::Failure);
        write("a.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
        write("b.pem", "");
        let wrong = [
            "dovelet.toml:3:7: `key`: a.key: it has a password",
            "dovelet.toml:6:15: `certificate`: b.pem: there is none in the file",
        ];
        assert_eq!(faults(wrong), Exit::Failure);
        write("a.key", &made.signing_key.serialize_pem());
        write("b.pem", &other.cert.pem());
        write("b.key", &other.signing_key.serialize_pem());
        // That lines of users are left out is told, and keeps nobody else from being served.
        assert_eq!(check(&["dovelet: who: line 2: "]), Exit::Success);
        std::fs::remove_file(data.join("who")).unwrap();
        assert_eq!(check(&["dovelet: there is no who"]), Exit::Success);
    }

    #[test]
    fn who_cannot_vouch_for_users_is_a_fault() {
        let machine = machine("[tls]\nclient_ca = \"ca.pem\"\n");
        let path = machine.data().join("ca.pem");
        let check = || machine.run("config check", "");
        for (text, fault) in [
            (None, "No such file"),
            (Some(""), "there is no certificate in the file"),
            (Some("-----BEGIN CERTIFICATE-----\n"), "it is no PEM"),
        ] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let told = check();
            let place = format!(
                "dovelet.toml:2:13: `client_ca`: {}: {fault}",
                path.display()
            );
            assert_eq!(told.exit, Exit::Failure);
            assert!(told.err.contains(&place), "{}", told.err);
        }
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        std::fs::write(&path, made.cert.pem()).unwrap();
        assert_eq!(check().exit, Exit::Success);
    }

    #[test]
    fn a_group_that_is_none_is_a_fault() {
        let machine = machine(
            "[[listener]]\nprotocol = \"lmtp\"\naddress = \"unix:/run/x\"\ngroup = \"no such\"\n",
        );
        let told = machine.run("config check", "");
        let place = "dovelet.toml:4:9: this machine has no group \"no such\"";
        assert!(
            told.exit == Exit::Failure && told.err.contains(place),
            "{}",
            told.err
        );
        // To look at settings it need not be there.
        assert_eq!(machine.run("config show", "").exit, Exit::Success);
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
