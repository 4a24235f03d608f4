//! Changes to the text of a file of app passwords. Other lines stay as they are.

use super::{AppPasswords, MAX_LABEL, MAX_PER_USER, Made, Scope, shown};
use crate::mail::Date;

/// The text with another app password of the user. `Err`: why not.
pub(crate) fn added(
    text: &[u8],
    user: &str,
    made: &Made,
    (scope, today, until): (Scope, Date, Option<Date>),
    label: &str,
) -> Result<Vec<u8>, String> {
    let (all, _) = AppPasswords::parse(text);
    let own = all.of(user);
    if own.len() >= MAX_PER_USER {
        return Err(format!("there are {MAX_PER_USER} app passwords already"));
    }
    if own.iter().any(|own| own.id == made.id) {
        return Err("its id is taken by another; try again".to_owned());
    }
    if label.len() > MAX_LABEL || label.chars().any(|c| c == ':' || c.is_control()) {
        let why = format!("a label has at most {MAX_LABEL} octets, and no colon");
        return Err(why);
    }
    let mut changed = text.to_vec();
    if !matches!(text.last(), None | Some(b'\n')) {
        changed.push(b'\n');
    }
    let user = user.to_ascii_lowercase();
    let (Made { id, hash, .. }, until) = (made, shown(until));
    changed.extend(format!("{user}:{id}:{hash}:{scope}:{today}:{until}:-:{label}\n").into_bytes());
    Ok(changed)
}

/// The text without that app password; `None` if there is none.
pub(crate) fn without(text: &[u8], user: &str, id: &str) -> Option<Vec<u8>> {
    remove(text, |line| is_of(line, user, Some(id)))
}

/// The text without any of the user's; `None` if there is none.
pub(crate) fn without_user(text: &[u8], user: &str) -> Option<Vec<u8>> {
    remove(text, |line| is_of(line, user, None))
}

/// The text in which these, of a user and with an id each, were used on those days; `None` if that is no change.
pub(crate) fn used<'a>(
    text: &[u8],
    uses: impl Fn(&str, &str) -> Option<&'a Date>,
) -> Option<Vec<u8>> {
    let mut changed = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        let noted = std::str::from_utf8(line).ok().and_then(|line| {
            let mut fields: Vec<&str> = line.splitn(8, ':').collect();
            let (user, id) = (fields.first()?.to_ascii_lowercase(), *fields.get(1)?);
            let day = uses(&user, id)?.to_string();
            let place = fields.get_mut(6)?;
            *place = &day;
            Some(fields.join(":").into_bytes())
        });
        changed.extend(noted.unwrap_or_else(|| line.to_vec()));
    }
    (changed != text).then_some(changed)
}

fn is_of(line: &[u8], user: &str, id: Option<&str>) -> bool {
    let mut fields = line.split(|b| *b == b':');
    let same = |field: &[u8]| field.eq_ignore_ascii_case(user.as_bytes());
    fields.next().is_some_and(same)
        && id.is_none_or(|id| fields.next().is_some_and(|field| field == id.as_bytes()))
}

fn remove(text: &[u8], is_one: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let lines = text.split_inclusive(|b| *b == b'\n');
    let kept: Vec<u8> = lines
        .filter(|line| !is_one(line))
        .flatten()
        .copied()
        .collect();
    (kept.len() < text.len()).then_some(kept)
}
