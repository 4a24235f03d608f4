//! `dovelet user`: changes to the files of users.

use std::path::Path;

use super::app_password;
use super::arguments;
use super::console::{Console, Exit, Failure};
use super::listing;
use super::patient::Patient;
use super::prompt;
use super::users_file;
use crate::auth::{self, Current, EditFault, Secret, Users};
use crate::config::{Config, Scheme, UserSource};
use crate::server::reload;

/// Does what the command says.
pub(crate) fn run(
    command: arguments::User,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    use arguments::User;
    match command {
        User::Add { name, stdin } => add(&name, stdin, config, console),
        User::Passwd { name, stdin } => passwd(&name, stdin, config, console),
        User::AppPassword(command) => return app_password::run(command, config, console),
        User::List { name, json } => return listing::show(name.as_deref(), json, config, console),
        User::Delete { name } => delete(&name, config, console),
    }?;
    tell_server(config, console);
    Ok(Exit::Success)
}

/// A running server knows the change from now on.
pub(super) fn tell_server(config: &Config, console: &mut Console<'_>) {
    if let Err(error) = reload(&config.data_dir) {
        console.complain(format_args!(
            "the running server was not told ({error}): send it SIGHUP"
        ));
    }
}

/// The files of users, in the order in which they are asked.
pub(super) fn files(config: &Config) -> impl Iterator<Item = &Path> {
    config
        .users
        .iter()
        .map(|UserSource::File(path)| path.as_path())
}

/// The users of all files.
pub(super) fn all(config: &Config) -> Result<Vec<(&Path, Users)>, Failure> {
    files(config)
        .map(|path| Ok((path, Users::parse(&users_file::read(path)?).0)))
        .collect()
}

fn add(name: &str, stdin: bool, config: &Config, console: &mut Console<'_>) -> Result<(), Failure> {
    auth::check_name(name).map_err(|fault| Failure(fault.to_string()))?;
    // Asked before the password is, and again under the lock.
    if let Some((path, _)) = holder(name, config)? {
        return Err(Failure(format!("user {name} exists already, in {path:?}")));
    }
    let user = name.to_ascii_lowercase();
    let location = config.storage.location(&config.data_dir, &user, None);
    if let Some(root) = location.directories().find(|root| config.is_own(root)) {
        return Err(Failure(format!(
            "the mail of user {name} would be in {root:?}, which is the server's own: choose \
             another name, or another path in [storage]"
        )));
    }
    let path = files(config)
        .next()
        .ok_or_else(|| Failure("the settings name no file of users".to_owned()))?;
    let hash = new_hash(name, stdin, config, console)?;
    users_file::edit(path, |text| {
        auth::add(text, name, &hash).map_err(|fault| refused(name, fault))
    })?;
    let name = name.to_ascii_lowercase();
    console.say(format_args!("user {name} added to {}", path.display()));
    Ok(())
}

fn passwd(
    name: &str,
    stdin: bool,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let (path, _) = holder(name, config)?.ok_or_else(|| refused(name, EditFault::Unknown))?;
    let hash = new_hash(name, stdin, config, console)?;
    users_file::edit(path, |text| {
        auth::change(text, name, &hash).map_err(|fault| refused(name, fault))
    })?;
    let name = name.to_ascii_lowercase();
    console.say(format_args!("password of user {name} changed"));
    Ok(())
}

fn delete(name: &str, config: &Config, console: &mut Console<'_>) -> Result<(), Failure> {
    let (path, users) = holder(name, config)?.ok_or_else(|| refused(name, EditFault::Unknown))?;
    users_file::edit(path, |text| {
        auth::remove(text, name).map_err(|fault| refused(name, fault))
    })?;
    app_password::delete_all(name, config)?;
    let name = name.to_ascii_lowercase();
    console.say(format_args!("user {name} deleted from {}", path.display()));
    let Some(user) = users.find(&name) else {
        return Ok(());
    };
    let Ok(Patient { location, .. }) = Patient::of(user, config) else {
        return Ok(());
    };
    for part in location.parts() {
        let root = part.root.display();
        match part.root.exists() {
            true => console.say(format_args!("the mail stays in {root}")),
            false => console.say(format_args!("there was no mail in {root}")),
        }
    }
    Ok(())
}

/// The file that has this user, and its users.
fn holder<'a>(name: &str, config: &'a Config) -> Result<Option<(&'a Path, Users)>, Failure> {
    let found = all(config)?.into_iter();
    Ok(found
        .into_iter()
        .find(|(_, users)| users.find(name).is_some()))
}

/// Whether there is this user.
pub(super) fn exists(name: &str, config: &Config) -> Result<bool, Failure> {
    holder(name, config).map(|found| found.is_some())
}

fn refused(name: &str, fault: EditFault) -> Failure {
    Failure(format!("user {name:?}: {fault}"))
}

/// What is stored for a password that is asked for or, if `stdin`, read.
fn new_hash(
    name: &str,
    stdin: bool,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<String, Failure> {
    let password = if stdin {
        prompt::first_line(console.input)?
    } else {
        prompt::ask(name)?
    };
    hash(&password, config)
}

/// What is stored for `password`, as the settings want it.
pub(super) fn hash(password: &Secret, config: &Config) -> Result<String, Failure> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| Failure(format!("no random numbers: {error}")))?;
    let current = Current::new(config.auth.scheme, &config.limits);
    let hash = current.hash(password.bytes(), salt);
    hash.ok_or_else(|| match config.auth.scheme {
        Scheme::ScramSha256 => Failure("SCRAM cannot use this password (RFC 4013)".to_owned()),
        Scheme::Argon2id => {
            let memory = config.limits.argon2_memory_kib;
            Failure(format!("no {memory} KiB of memory to hash the password in"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::{Machine, Told};
    use crate::auth::Password;

    fn password(machine: &Machine, name: &str) -> Password {
        let text = users_file::read(&machine.data().join("users")).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = text.lines().find(|l| l.starts_with(&format!("{name}:")));
        Password::parse(line.unwrap().split(':').nth(1).unwrap()).unwrap()
    }

    #[test]
    fn a_life_of_a_user() {
        let machine = Machine::new();
        let users = machine.data().join("users");
        let told = machine.run("user add Ann --password-stdin", "tiger\nlion\n");
        let added = format!("user ann added to {}\n", users.display());
        assert_eq!(told, Told::success(&added));
        assert!(password(&machine, "ann").verify(b"tiger"));

        let told = machine.run("user passwd ANN --password-stdin", "lion");
        assert_eq!(told, Told::success("password of user ann changed\n"));
        assert!(password(&machine, "ann").verify(b"lion"));
        assert!(!password(&machine, "ann").verify(b"tiger"));

        let mail = machine.data().join("mail/ann");
        std::fs::create_dir_all(&mail).unwrap();
        let told = machine.run("user delete ann", "");
        let deleted = format!(
            "user ann deleted from {}\nthe mail stays in {}\n",
            users.display(),
            mail.display()
        );
        assert_eq!(told, Told::success(&deleted));
        assert_eq!(users_file::read(&users), Ok(Vec::new()));
        assert!(mail.exists());
    }

    #[test]
    fn refusals_change_nothing() {
        let machine = Machine::new();
        let users = machine.data().join("users");
        std::fs::write(&users, "# all\nann:{PLAIN}tiger:1000\n").unwrap();
        for (line, input, expected) in [
            (
                "user add ANN --password-stdin",
                "x",
                format!("user ANN exists already, in {users:?}"),
            ),
            (
                "user add a/b --password-stdin",
                "x",
                "a user name must not contain '/'".to_owned(),
            ),
            (
                "user add bob --password-stdin",
                "\n",
                "the password is empty".to_owned(),
            ),
            (
                "user passwd bob --password-stdin",
                "x",
                "user \"bob\": no such user".to_owned(),
            ),
            (
                "user passwd ann --password-stdin",
                "",
                "the password is empty".to_owned(),
            ),
            (
                "user delete bob",
                "",
                "user \"bob\": no such user".to_owned(),
            ),
        ] {
            let expected = Told::failure(&format!("dovelet: {expected}\n"));
            assert_eq!(machine.run(line, input), expected, "{line}");
            let text = users_file::read(&users).unwrap();
            assert_eq!(text, b"# all\nann:{PLAIN}tiger:1000\n", "{line}");
        }
    }

    #[test]
    fn other_fields_and_comments_stay() {
        let machine = Machine::new();
        let users = machine.data().join("users");
        std::fs::write(&users, "# all\nann:{PLAIN}tiger:1000:::/home/ann\n").unwrap();
        machine.run("user passwd ann --password-stdin", "lion");
        let text = String::from_utf8(users_file::read(&users).unwrap()).unwrap();
        assert!(
            text.starts_with("# all\nann:{ARGON2ID}$argon2id$"),
            "{text}"
        );
        assert!(text.ends_with(":1000:::/home/ann\n"), "{text}");
        let told = machine.run("user delete ann", "");
        assert!(told.out.contains("there was no mail in "), "{told:?}");
    }
}
