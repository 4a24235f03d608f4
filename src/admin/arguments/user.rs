//! What is behind `user`.

use super::command::{APP_PASSWORD, AppPassword, USER, User};
use super::given::Given;
use super::words::{Misuse, excess, unknown};

const TOPIC: Option<&str> = Some("user");

pub(super) fn command(given: &Given, words: &[String]) -> Result<User, Misuse> {
    let Some((second, rest)) = words.split_first() else {
        let what = "user needs add, passwd, app-password, list or delete behind it";
        return Err(Misuse::new(what, TOPIC));
    };
    let name = || one(rest, second);
    let stdin = given.has("password-stdin");
    match second.as_str() {
        "add" => name().map(|name| User::Add { name, stdin }),
        "passwd" => name().map(|name| User::Passwd { name, stdin }),
        "app-password" => app_password(given, rest).map(User::AppPassword),
        "list" => Ok(User::List {
            name: (!rest.is_empty()).then(name).transpose()?,
            json: given.has("json"),
        }),
        "delete" => name().map(|name| User::Delete { name }),
        other => Err(unknown("command user", other, &USER, TOPIC)),
    }
}

fn app_password(given: &Given, words: &[String]) -> Result<AppPassword, Misuse> {
    let Some((third, rest)) = words.split_first() else {
        let what = "user app-password needs add, list or delete behind it";
        return Err(Misuse::new(what, TOPIC));
    };
    let command = format!("app-password {third}");
    let name = || one(rest, &command);
    match third.as_str() {
        "add" => name().map(|name| AppPassword::Add {
            name,
            wanted: given.app_password.clone(),
        }),
        "list" => Ok(AppPassword::List {
            name: (!rest.is_empty()).then(name).transpose()?,
            json: given.has("json"),
        }),
        "delete" => match rest {
            [name, id] => Ok(AppPassword::Delete {
                name: name.clone(),
                id: id.clone(),
            }),
            [_, _, more, ..] => Err(excess(more, "user")),
            _ => {
                let what = "user app-password delete needs the name of a user and the id behind it";
                Err(Misuse::new(what, TOPIC))
            }
        },
        other => {
            let known = &APP_PASSWORD;
            Err(unknown("command user app-password", other, known, TOPIC))
        }
    }
}

/// The name of a user, and nothing else.
fn one(words: &[String], command: &str) -> Result<String, Misuse> {
    match words {
        [name] => Ok(name.clone()),
        [] => {
            let what = format!("user {command} needs the name of a user");
            Err(Misuse::new(what, TOPIC))
        }
        [_, more, ..] => Err(excess(more, "user")),
    }
}
