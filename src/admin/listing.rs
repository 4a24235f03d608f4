//! `dovelet user list`.

use miniserde::Serialize;
use std::path::Path;

use super::console::{Console, Exit, Failure};
use super::user::files;
use super::users_file;
use crate::auth::{User, Users};
use crate::config::Config;

/// A user as the list shows it.
#[derive(Serialize)]
struct Row {
    name: String,
    /// Of the password; empty if there is none.
    scheme: String,
    login: bool,
    uid: Option<u32>,
    gid: Option<u32>,
    home: Option<String>,
}

/// Shows the users, or the one of that name.
pub(super) fn show(
    name: Option<&str>,
    json: bool,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let mut rows: Vec<Row> = Vec::new();
    for path in files(config) {
        for row in read(path, config, console)? {
            // The first file that has a user counts.
            if !rows.iter().any(|known| known.name == row.name) {
                rows.push(row);
            }
        }
    }
    if let Some(name) = name {
        rows.retain(|row| row.name.eq_ignore_ascii_case(name));
        if rows.is_empty() {
            return Err(Failure(format!("user {name:?}: no such user")));
        }
    }
    crate::mail::sort_by(&mut rows, |a, b| a.name.cmp(&b.name));
    if json {
        console.say(miniserde::json::to_string(&rows));
    } else {
        console.print(&table(&rows));
    }
    Ok(Exit::Success)
}

/// The text of a file of users, and the users in it; tells what is wrong with it.
pub(super) fn inspect(
    path: &Path,
    config: &Config,
    console: &mut Console<'_>,
) -> Result<(Vec<u8>, Users), Failure> {
    if !path.exists() {
        console.complain(format_args!("there is no {}", path.display()));
    }
    let text = users_file::read(path)?;
    let (users, complaints) = Users::parse(&text);
    for complaint in complaints {
        console.complain(format_args!("{}: {complaint}", path.display()));
    }
    for costly in users.costly(config.limits.auth_memory_octets) {
        console.complain(format_args!("{}: {costly}", path.display()));
    }
    Ok((text, users))
}

fn read(path: &Path, config: &Config, console: &mut Console<'_>) -> Result<Vec<Row>, Failure> {
    let (text, users) = inspect(path, config, console)?;
    let schemes = schemes(&text);
    let scheme = |user: &User| {
        let found = schemes.get(&user.name).cloned();
        found.unwrap_or_default()
    };
    Ok(users
        .iter()
        .map(|user| Row {
            name: user.name.clone(),
            scheme: scheme(user),
            login: users.password(&user.name).is_some(),
            uid: user.uid,
            gid: user.gid,
            home: user.home.as_ref().map(|h| h.to_string_lossy().into_owned()),
        })
        .collect())
}

/// The password scheme of each user, by name in lower case; the first line counts.
fn schemes(text: &[u8]) -> std::collections::HashMap<String, String> {
    let mut found = std::collections::HashMap::new();
    for line in text.split(|&octet| octet == b'\n') {
        let mut fields = line.split(|&octet| octet == b':');
        let name = String::from_utf8_lossy(fields.next().unwrap_or_default()).to_ascii_lowercase();
        let stored = String::from_utf8_lossy(fields.next().unwrap_or_default());
        found
            .entry(name)
            .or_insert_with(|| scheme(stored.trim_end()));
    }
    found
}

/// The word in braces; a hash without one is CRYPT's.
fn scheme(stored: &str) -> String {
    let prefixed = stored.strip_prefix('{').and_then(|s| s.split_once('}'));
    match prefixed {
        Some((scheme, _)) => scheme.to_ascii_uppercase(),
        None if stored.is_empty() || stored == "!" || stored == "*" => String::new(),
        None => "CRYPT".to_owned(),
    }
}

/// Columns, wide enough for what is in them.
fn table(rows: &[Row]) -> String {
    let number = |id: Option<u32>| id.map_or("-".to_owned(), |id| id.to_string());
    let cells = |row: &Row| {
        let scheme = match (row.scheme.as_str(), row.login) {
            ("", _) => "(none)".to_owned(),
            (scheme, true) => scheme.to_owned(),
            (scheme, false) => format!("{scheme} (locked)"),
        };
        let home = row.home.clone().unwrap_or_else(|| "-".to_owned());
        [
            row.name.clone(),
            scheme,
            number(row.uid),
            number(row.gid),
            home,
        ]
    };
    let heads = ["NAME", "SCHEME", "UID", "GID", "HOME"];
    columns(&heads, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// Lines of cells below their heads, one below the other.
pub(super) fn columns<const N: usize>(heads: &[&str; N], rows: &[[String; N]]) -> String {
    let head = heads.map(str::to_owned);
    let lines: Vec<&[String; N]> = [&head].into_iter().chain(rows).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line.iter()) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(widths);
        let padded: Vec<String> = cells.map(|(c, width)| format!("{c:width$}")).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::admin::tests::{Machine, Told};

    const FILE: &str = "# all\nBob@Example.org:$6$x:1000:100::/home/b o:\nann:{plain}x\nann:{SHA}x\nold:!\neve:{ROT13}x\nlou:{PLAIN}x::::::nologin\n";

    fn machine() -> Machine {
        let machine = Machine::new();
        std::fs::write(machine.data().join("users"), FILE).unwrap();
        machine
    }

    #[test]
    fn a_table_for_people() {
        let told = machine().run("user list", "");
        let expected = "\
NAME             SCHEME          UID   GID  HOME
ann              PLAIN           -     -    -
bob@example.org  CRYPT (locked)  1000  100  /home/b o
eve              ROT13 (locked)  -     -    -
lou              PLAIN (locked)  -     -    -
old              (none)          -     -    -
";
        assert_eq!(told.out, expected);
        assert_eq!(told.err.lines().count(), 4, "{}", told.err);
        assert!(told.err.contains("users: line 4: "), "{}", told.err);
    }

    #[test]
    fn json_for_programs() {
        let machine = machine();
        let told = machine.run("user list BOB@example.org --json", "");
        assert_eq!(
            told.out,
            "[{\"name\":\"bob@example.org\",\"scheme\":\"CRYPT\",\"login\":false,\"uid\":1000,\"gid\":100,\"home\":\"/home/b o\"}]\n"
        );
        let told = machine.run("user list ann --json", "");
        assert_eq!(
            told.out,
            "[{\"name\":\"ann\",\"scheme\":\"PLAIN\",\"login\":true,\"uid\":null,\"gid\":null,\"home\":null}]\n"
        );
    }

    #[test]
    fn passwords_that_the_board_cannot_check_are_told() {
        let machine = Machine::new();
        machine.run("user add ann --password-stdin", "tiger");
        for command in ["user list", "config check"] {
            assert_eq!(machine.run(command, "").err, "");
            let told = machine.run(&format!("{command} --board openwrt-64"), "");
            assert_eq!(told.exit, crate::admin::console::Exit::Success);
            let expected = "users: user ann cannot log in: to check the password takes 19456 KiB";
            assert!(told.err.contains(expected), "{command}: {told:?}");
        }
        machine.run(
            "user passwd ann --password-stdin --board openwrt-64",
            "tiger",
        );
        assert_eq!(machine.run("user list --board openwrt-64", "").err, "");
    }

    #[test]
    fn nobody() {
        let machine = Machine::new();
        let users = machine.data().join("users");
        let missing = format!("dovelet: there is no {}\n", users.display());
        let told = machine.run("user list --json", "");
        assert_eq!((told.out.as_str(), told.err), ("[]\n", missing));
        std::fs::write(&users, "").unwrap();
        let unknown = Told::failure("dovelet: user \"ann\": no such user\n");
        assert_eq!(machine.run("user list ann", ""), unknown);
    }
}
