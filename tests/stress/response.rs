//! Untagged responses, taken apart.

use crate::flags::Flags;
use crate::truth::Checked;

#[derive(Debug)]
pub(crate) enum Response<'a> {
    Exists(usize),
    Expunge(usize),
    Vanished {
        earlier: bool,
        uids: Vec<u32>,
    },
    Fetch(Fetched<'a>),
    Search {
        sorted: bool,
        found: Vec<u32>,
        mod_seq: Option<u64>,
    },
    Esearch(Esearch),
    Status {
        mailbox: &'a str,
        items: Vec<(&'a str, u64)>,
    },
    /// `OK [UIDNEXT 4] ...`.
    Code(&'a str, &'a str),
    Other,
}

/// FETCH, or UIDFETCH (RFC 9586 section 3.3).
#[derive(Debug, Default)]
pub(crate) struct Fetched<'a> {
    /// Message number, or UID of UIDFETCH.
    pub(crate) number: u32,
    pub(crate) by_uid: bool,
    pub(crate) uid: Option<u32>,
    pub(crate) flags: Option<Flags>,
    pub(crate) mod_seq: Option<u64>,
    pub(crate) date: Option<&'a str>,
    pub(crate) size: Option<u64>,
    /// `BODY[...]` and its octets.
    pub(crate) sections: Vec<(&'a str, &'a str)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Esearch {
    pub(crate) tag: String,
    pub(crate) uid: bool,
    pub(crate) min: Option<u32>,
    pub(crate) max: Option<u32>,
    pub(crate) count: Option<u32>,
    pub(crate) all: Vec<u32>,
    pub(crate) mod_seq: Option<u64>,
}

fn number<T: std::str::FromStr>(word: &str) -> Checked<T> {
    let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let number = word.parse().ok().filter(|_| digits);
    number.ok_or_else(|| format!("no number: {word:?}"))
}

/// `1:3,5`, in its order.
pub(crate) fn set(text: &str) -> Checked<Vec<u32>> {
    let mut all = Vec::new();
    for run in text.split(',') {
        let (first, last) = run.split_once(':').unwrap_or((run, run));
        all.extend(number::<u32>(first)?..=number::<u32>(last)?);
    }
    Ok(all)
}

/// As short as it can be; what is no number of a message if there is none.
pub(crate) fn set_text(numbers: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == *number => run.1 = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let text = |(first, last): (u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}:{last}"),
    };
    runs.into_iter().map(text).collect::<Vec<_>>().join(",")
}

/// The response without `* `.
pub(crate) fn parse(text: &str) -> Checked<Response<'_>> {
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    if let Ok(count) = number::<u32>(first) {
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        return Ok(match word {
            "EXISTS" => Response::Exists(count as usize),
            "EXPUNGE" => Response::Expunge(count as usize),
            "FETCH" => Response::Fetch(fetched(count, false, rest)?),
            "UIDFETCH" => Response::Fetch(fetched(count, true, rest)?),
            _ => Response::Other,
        });
    }
    match first {
        "VANISHED" => {
            let earlier = rest.strip_prefix("(EARLIER) ");
            Ok(Response::Vanished {
                earlier: earlier.is_some(),
                uids: set(earlier.unwrap_or(rest))?,
            })
        }
        "SEARCH" | "SORT" => search(first == "SORT", rest),
        "ESEARCH" => Ok(Response::Esearch(esearch(rest)?)),
        "STATUS" => status(rest),
        "OK" if rest.starts_with('[') => {
            let code = rest[1..].split(']').next().unwrap_or_default();
            let (name, value) = code.split_once(' ').unwrap_or((code, ""));
            Ok(Response::Code(name, value))
        }
        _ => Ok(Response::Other),
    }
}

fn search(sorted: bool, rest: &str) -> Checked<Response<'_>> {
    let (found, mod_seq) = match rest.split_once("(MODSEQ ") {
        Some((found, highest)) => (found, Some(number(highest.trim_end_matches(')'))?)),
        None => (rest, None),
    };
    let found: Checked<Vec<u32>> = found.split_whitespace().map(number).collect();
    let found = found?;
    Ok(Response::Search {
        sorted,
        found,
        mod_seq,
    })
}

fn esearch(rest: &str) -> Checked<Esearch> {
    let mut answer = Esearch::default();
    let (tag, rest) = rest.split_once(')').ok_or("ESEARCH without a tag")?;
    answer.tag = tag.split('"').nth(1).unwrap_or_default().to_owned();
    let mut words = rest.split_whitespace();
    while let Some(word) = words.next() {
        if word == "UID" {
            answer.uid = true;
            continue;
        }
        let value = words.next().unwrap_or_default();
        match word {
            "MIN" => answer.min = Some(number(value)?),
            "MAX" => answer.max = Some(number(value)?),
            "COUNT" => answer.count = Some(number(value)?),
            "ALL" => answer.all = set(value)?,
            "MODSEQ" => answer.mod_seq = Some(number(value)?),
            _ => return Err(format!("ESEARCH with {word}")),
        }
    }
    Ok(answer)
}

fn status(rest: &str) -> Checked<Response<'_>> {
    let (mailbox, list) = rest.split_once(" (").ok_or("STATUS without a list")?;
    let words: Vec<&str> = list.trim_end_matches(')').split_whitespace().collect();
    let pairs = words.chunks(2).map(|pair| match pair {
        [name, value] => Ok((*name, number(value)?)),
        _ => Err("STATUS without a value".to_owned()),
    });
    let items = pairs.collect::<Checked<_>>()?;
    Ok(Response::Status { mailbox, items })
}

fn fetched(number_: u32, by_uid: bool, text: &str) -> Checked<Fetched<'_>> {
    let mut fetched = Fetched {
        number: number_,
        by_uid,
        uid: by_uid.then_some(number_),
        ..Fetched::default()
    };
    let mut rest = text.strip_prefix('(').ok_or("FETCH without a list")?;
    while rest != ")" {
        rest = rest.trim_start_matches(' ');
        let (name, after) = item_name(rest)?;
        let (value, after) = item_value(after)?;
        rest = after;
        match name {
            "UID" => {
                let uid = number(value)?;
                if by_uid && uid != number_ {
                    return Err(format!("UIDFETCH {number_} of UID {uid}"));
                }
                fetched.uid = Some(uid);
            }
            "FLAGS" => fetched.flags = Some(Flags::parse(value)?),
            "MODSEQ" => fetched.mod_seq = Some(number(value)?),
            "INTERNALDATE" => fetched.date = Some(value),
            "RFC822.SIZE" => fetched.size = Some(number(value)?),
            _ if name.starts_with("BODY[") => fetched.sections.push((name, value)),
            _ => return Err(format!("FETCH with {name}")),
        }
    }
    Ok(fetched)
}

/// Up to a space outside of brackets.
fn item_name(text: &str) -> Checked<(&str, &str)> {
    let mut within = false;
    for (at, c) in text.char_indices() {
        match c {
            '[' => within = true,
            ']' => within = false,
            ' ' if !within => return Ok((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    Err(format!("no item: {text:?}"))
}

/// A list, a string, a literal or an atom; and what follows.
fn item_value(text: &str) -> Checked<(&str, &str)> {
    let no_end = || format!("no end: {text:?}");
    match text.chars().next() {
        Some('(') => text[1..].split_once(')').ok_or_else(no_end),
        Some('"') => text[1..].split_once('"').ok_or_else(no_end),
        Some('{') => {
            let (octets, rest) = text[1..].split_once("}\r\n").ok_or_else(no_end)?;
            rest.split_at_checked(number(octets)?).ok_or_else(no_end)
        }
        _ => {
            let end = text.find([' ', ')']).ok_or_else(no_end)?;
            Ok(text.split_at(end))
        }
    }
}
