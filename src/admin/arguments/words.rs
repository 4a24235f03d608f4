//! What is wrong with words.

use crate::config::nearest;

/// What is wrong with a command line, and which topic of the help tells more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Misuse {
    pub(crate) what: String,
    pub(crate) topic: Option<&'static str>,
}

impl Misuse {
    pub(super) fn new(what: impl Into<String>, topic: Option<&'static str>) -> Misuse {
        Misuse {
            what: what.into(),
            topic,
        }
    }
}

/// `; did you mean "word"?`, or nothing.
pub(super) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known)
        .map(|meant| format!("; did you mean {meant:?}?"))
        .unwrap_or_default()
}

pub(super) fn unknown(
    what: &str,
    word: &str,
    known: &[&'static str],
    topic: Option<&'static str>,
) -> Misuse {
    let hint = hint(word, known.iter().copied());
    Misuse::new(format!("unknown {what} {word:?}{hint}"), topic)
}

pub(super) fn excess(word: &str, topic: &'static str) -> Misuse {
    Misuse::new(format!("{word:?} is one word too many"), Some(topic))
}

pub(super) fn nothing_in(words: &[String], topic: &'static str) -> Result<(), Misuse> {
    words
        .first()
        .map_or(Ok(()), |word| Err(excess(word, topic)))
}
