//! ESEARCH (RFC 7377 section 4).

use super::fetch::FetchItem;
use super::notify::{Filter, filter};
use super::returns::{Returns, returns};
use super::search::search;
use super::token::{Parsed, Syntax, space};
use crate::mail::Criteria;
use crate::wire::reader::Reader;

/// Filters of one ESEARCH.
const MAX_SOURCES: usize = 100;

/// What an ESEARCH asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Esearch {
    /// At least one.
    pub(crate) sources: Vec<Filter>,
    pub(crate) returns: Returns,
    /// What UPDATE wants to know of new messages (RFC 5465 section 8).
    pub(crate) items: Vec<FetchItem>,
    /// `None`: a charset nobody knows.
    pub(crate) criteria: Option<Criteria>,
}

/// `esearch = "ESEARCH" [SP esearch-source-opts] [SP search-return-opts] SP search-program`, after its
/// word.
pub(super) fn esearch(r: &mut Reader<'_>) -> Parsed<Esearch> {
    space(r)?;
    let mut sources = vec![Filter::Selected];
    if r.eat_word("IN (") {
        sources = source_filters(r)?;
        space(r)?;
    }
    let (returns, items) = returns(r)?;
    Ok(Esearch {
        sources,
        returns: returns.unwrap_or(Returns::ALL),
        items,
        criteria: search(r)?.criteria(),
    })
}

/// `source-mbox [SP "(" scope-options ")"] ")"`; no options are defined.
fn source_filters(r: &mut Reader<'_>) -> Parsed<Vec<Filter>> {
    let mut sources = Vec::new();
    loop {
        if sources.len() >= MAX_SOURCES {
            return Err(Syntax("[LIMIT] Too many mailbox filters"));
        }
        match filter(r)? {
            // RFC 7377 section 2.2.
            Filter::SelectedDelayed => return Err(Syntax("no such mailbox filter")),
            Filter::Selected if sources.contains(&Filter::Selected) => {}
            filter => sources.push(filter),
        }
        if r.eat(b')') {
            return Ok(sources);
        }
        space(r)?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Command, parse};
    use super::*;
    use crate::wire::imap::Bounds;

    fn read(text: &str) -> Option<Esearch> {
        match parse(format!("a ESEARCH {text}").as_bytes(), Bounds::USUAL).command {
            Ok(Command::Esearch(wanted)) => Some(*wanted),
            _ => None,
        }
    }

    #[test]
    fn sources_and_options() {
        let wanted = read("UNSEEN").unwrap();
        assert_eq!(wanted.sources, [Filter::Selected]);
        assert!(wanted.returns.all && wanted.criteria.is_some());
        let wanted = read("IN (selected mailboxes (a b) subtree-one c selected) RETURN (MIN) ALL");
        let wanted = wanted.unwrap();
        assert!(wanted.sources.len() == 3 && wanted.returns.min && !wanted.returns.all);
        assert!(matches!(wanted.sources[2], Filter::SubtreeOne(_)));
        assert_eq!(
            read("IN (personal) CHARSET klingon ALL").unwrap().criteria,
            None
        );
        for bad in [
            "",
            "IN (personal)",
            "IN personal ALL",
            "IN () ALL",
            "IN (personal (x)) ALL",
            "IN (selected-delayed) ALL",
            "IN (mailboxes) ALL",
            "IN (personal RETURN (MIN) ALL",
            "RETURN (MIN) IN (personal) ALL",
            "RETURN (FOO) ALL",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let many = format!("IN ({}personal) ALL", "subscribed ".repeat(MAX_SOURCES));
        assert_eq!(read(&many), None);
    }
}
