//! `dovelet user app-password`: passwords for single programs.

use super::arguments::AppPassword;
use super::console::{Console, Exit, Failure};
use super::user::{self, tell_server};
use super::users_file;
use crate::auth::{self, AppPasswords, Scope};
use crate::config::Config;
use crate::mail::{Date, DateTime};
use crate::server::app_passwords;
use crate::sys::clock;
use miniserde::Serialize;

/// An app password as the list shows it.
#[derive(Serialize)]
struct Row {
    user: String,
    id: String,
    scope: String,
    made: String,
    until: Option<String>,
    used: Option<String>,
    label: String,
}

/// What a new app password is to be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// As it is typed; without it all.
    pub(crate) scope: Option<String>,
    /// As it is typed; without it for ever.
    pub(crate) until: Option<String>,
    pub(crate) label: String,
}

/// Does what the command says.
pub(super) fn run(
    command: AppPassword,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    match command {
        AppPassword::Add { name, wanted } => add(&name, &wanted, config, console),
        AppPassword::List { name, json } => {
            return show(name.as_deref(), json, config, console);
        }
        AppPassword::Delete { name, id } => delete(&name, &id, config, console),
    }?;
    tell_server(config, console);
    Ok(Exit::Success)
}

fn add(
    name: &str,
    wanted: &Wanted,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<(), Failure> {
    let scope = match wanted.scope.as_deref() {
        None => Scope::ALL,
        Some(text) => Scope::parse(text).ok_or_else(|| {
            Failure("--for takes imap, pop3 and smtp, with commas between them".to_owned())
        })?,
    };
    let until = match wanted.until.as_deref() {
        None => None,
        Some(text) => Some(
            Date::parse(text)
                .ok_or_else(|| Failure("--until takes a day, such as 2027-12-31".to_owned()))?,
        ),
    };
    let today = DateTime::utc(clock::now_seconds()).date();
    if until.is_some_and(|until| until < today) {
        return Err(Failure("--until names a day that is over".to_owned()));
    }
    if !user::exists(name, config)? {
        return Err(Failure(format!("user {name:?}: no such user")));
    }
    let mut random = [0; auth::RANDOM_OCTETS];
    getrandom::fill(&mut random).map_err(|error| Failure(format!("no random numbers: {error}")))?;
    let made = auth::make(&random);
    users_file::edit(&app_passwords(&config.data_dir), |text| {
        let added = auth::added(text, name, &made, (scope, today, until), &wanted.label);
        added.map_err(|why| Failure(format!("user {name:?}: {why}")))
    })?;
    let name = name.to_ascii_lowercase();
    console.say(format_args!(
        "app password {} of user {name} for {scope}; it is shown this once:",
        made.id
    ));
    console.say(made.shown);
    Ok(())
}

fn delete(name: &str, id: &str, config: &Config, console: &mut Console<'_>) -> Result<(), Failure> {
    let path = app_passwords(&config.data_dir);
    let none = || Failure(format!("user {name:?} has no app password {id:?}"));
    if !path.exists() {
        return Err(none());
    }
    users_file::edit(&path, |text| auth::without(text, name, id).ok_or_else(none))?;
    let name = name.to_ascii_lowercase();
    console.say(format_args!("app password {id} of user {name} deleted"));
    Ok(())
}

/// Of a user who is no more, lest they come to count for another of that name.
pub(super) fn delete_all(name: &str, config: &Config) -> Result<(), Failure> {
    let path = app_passwords(&config.data_dir);
    if !path.exists() {
        return Ok(());
    }
    users_file::edit(&path, |text| {
        Ok(auth::without_user(text, name).unwrap_or_else(|| text.to_vec()))
    })
}

fn show(
    name: Option<&str>,
    json: bool,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let path = app_passwords(&config.data_dir);
    let (all, bad) = AppPasswords::parse(&users_file::read(&path)?);
    for line in bad {
        console.complain(format_args!(
            "{}: line {line} cannot be read",
            path.display()
        ));
    }
    let shown = all.iter().filter(|own| {
        let same = |name: &str| own.user.eq_ignore_ascii_case(name);
        name.is_none_or(same)
    });
    let day = |day: Option<Date>| day.map(|day| day.to_string());
    let rows: Vec<Row> = shown
        .map(|own| Row {
            user: own.user.clone(),
            id: own.id.clone(),
            scope: own.scope.to_string(),
            made: own.made.to_string(),
            until: day(own.until),
            used: day(own.used),
            label: own.label.clone(),
        })
        .collect();
    if json {
        console.say(miniserde::json::to_string(&rows));
    } else {
        console.print(&table(&rows));
    }
    Ok(Exit::Success)
}

fn table(rows: &[Row]) -> String {
    let or = |day: &Option<String>, none: &str| day.clone().unwrap_or_else(|| none.to_owned());
    let cells = |row: &Row| {
        let Row {
            user,
            id,
            scope,
            made,
            until,
            used,
            label,
        } = row;
        [
            user.clone(),
            id.clone(),
            scope.clone(),
            made.clone(),
            or(until, "-"),
            or(used, "never"),
            label.clone(),
        ]
    };
    let heads = ["USER", "ID", "FOR", "MADE", "UNTIL", "USED", "LABEL"];
    super::listing::columns(&heads, &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::{Machine, Told};
    use crate::auth::{Credentials, Secret};
    use crate::config::Protocol;

    fn machine() -> Machine {
        let machine = Machine::new();
        std::fs::write(machine.data().join("users"), "ann:{PLAIN}tiger\nbob:!\n").unwrap();
        machine
    }

    fn all(machine: &Machine) -> AppPasswords {
        let text = users_file::read(&app_passwords(&machine.data())).unwrap();
        AppPasswords::parse(&text).0
    }

    #[test]
    fn a_life_of_an_app_password() {
        let machine = machine();
        let line = "user app-password add Ann --for imap --until 9999-12-31 --label phone";
        let told = machine.run(line, "");
        let [first, shown] = told.out.lines().collect::<Vec<_>>()[..] else {
            panic!("{told:?}");
        };
        let found = all(&machine);
        let own = &found.of("ann")[0];
        let id = own.id.clone();
        assert_eq!(
            first,
            format!("app password {id} of user ann for imap; it is shown this once:")
        );
        let claim = Credentials::new("ann".into(), Secret::from(shown.as_bytes()));
        let today = DateTime::utc(clock::now_seconds()).date();
        assert!(found.find(&claim, Protocol::Imap, today).is_some());
        machine.run("user app-password add bob", "");

        let told = machine.run("user app-password list ann", "");
        let expected = format!(
            "USER  ID    FOR   MADE        UNTIL       USED   LABEL\n\
             ann   {id}  imap  {today}  9999-12-31  never  phone\n"
        );
        assert_eq!(told, Told::success(&expected));
        let told = machine.run("user app-password list ann --json", "");
        let expected = format!(
            "[{{\"user\":\"ann\",\"id\":\"{id}\",\"scope\":\"imap\",\"made\":\"{today}\",\
             \"until\":\"9999-12-31\",\"used\":null,\"label\":\"phone\"}}]\n"
        );
        assert_eq!(told, Told::success(&expected));

        let told = machine.run(&format!("user app-password delete ANN {id}"), "");
        let expected = format!("app password {id} of user ann deleted\n");
        assert_eq!(told, Told::success(&expected));
        assert_eq!(
            (all(&machine).of("ann").len(), all(&machine).of("bob").len()),
            (0, 1)
        );
        // Whoever comes to have that name has nothing of the one before.
        machine.run("user delete bob", "");
        assert!(all(&machine).of("bob").is_empty());
    }

    #[test]
    fn refusals_change_nothing() {
        let machine = machine();
        for (line, expected) in [
            ("add eve", "user \"eve\": no such user"),
            (
                "add ann --for ftp",
                "--for takes imap, pop3 and smtp, with commas between them",
            ),
            (
                "add ann --until soon",
                "--until takes a day, such as 2027-12-31",
            ),
            (
                "add ann --until 2020-01-01",
                "--until names a day that is over",
            ),
            (
                "add ann --label a:b",
                "user \"ann\": a label has at most 64 octets, and no colon",
            ),
            (
                "delete ann abcd",
                "user \"ann\" has no app password \"abcd\"",
            ),
        ] {
            let told = machine.run(&format!("user app-password {line}"), "");
            assert_eq!(
                told,
                Told::failure(&format!("dovelet: {expected}\n")),
                "{line}"
            );
            assert!(!app_passwords(&machine.data()).exists(), "{line}");
        }
    }
}
