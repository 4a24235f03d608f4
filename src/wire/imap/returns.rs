//! Result options of extended SEARCH and SORT (RFC 4731 section 3.1, RFC 5182 section 2.4, RFC 9394
//! section 3.1).

use super::fetch::{FetchItem, fetch_items};
use super::token::{Parsed, Syntax, atom, space};
use crate::wire::reader::Reader;

/// What an ESEARCH response is to tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Returns {
    pub(crate) min: bool,
    pub(crate) max: bool,
    pub(crate) all: bool,
    pub(crate) count: bool,
    /// The result is remembered for `$`.
    pub(crate) save: bool,
    pub(crate) partial: Option<PartialRange>,
    /// Changes of the result are told (RFC 5267 section 4.3).
    pub(crate) update: bool,
    /// The client means to come back to it (RFC 5267 section 4.2); nothing is kept for that.
    pub(crate) context: bool,
}

impl Returns {
    /// Without an option it is ALL (RFC 4731 section 3.1).
    pub(crate) const ALL: Returns = Returns {
        min: false,
        max: false,
        all: true,
        count: false,
        save: false,
        partial: None,
        update: false,
        context: false,
    };

    /// True if all that is found is saved (RFC 5182 section 2.4).
    pub(crate) fn means_all(&self) -> bool {
        let some = self.min || self.max || self.partial.is_some();
        self.all || self.count || !some
    }

    /// True if nothing is told, only saved.
    pub(crate) fn is_silent(&self) -> bool {
        let told = self.min || self.max || self.all || self.count || self.partial.is_some();
        self.save && !told && !self.update
    }
}

/// A window on the results, the first (or, from the end, the last) of which is number 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartialRange {
    /// As the client wrote them, which is how they are told again.
    pub(crate) ends: (u32, u32),
    pub(crate) from_end: bool,
}

impl PartialRange {
    /// Places of the window among `count` results, the first of which is 0; the end is not in it.
    pub(crate) fn places(&self, count: u32) -> std::ops::Range<u32> {
        let (first, last) = (self.ends.0.min(self.ends.1), self.ends.0.max(self.ends.1));
        let (start, end) = (first.saturating_sub(1).min(count), last.min(count));
        match self.from_end {
            false => start..end,
            true => count - end..count - start,
        }
    }

    /// As the client wrote it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let sign = if self.from_end { "-" } else { "" };
        let (first, last) = self.ends;
        out.extend_from_slice(format!("{sign}{first}:{sign}{last}").as_bytes());
    }
}

/// `search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"` and
/// the space behind it; `None` if there is none. With it what UPDATE wants to know of new messages.
pub(super) fn returns(r: &mut Reader<'_>) -> Parsed<(Option<Returns>, Vec<FetchItem>)> {
    let mut items = Vec::new();
    if !r.eat_word("RETURN ") {
        return Ok((None, items));
    }
    if !r.eat(b'(') {
        return Err(Syntax("a list of result options is missing"));
    }
    let mut returns = Returns::default();
    let mut first = true;
    while !r.eat(b')') {
        if !std::mem::take(&mut first) {
            space(r)?;
        }
        option(r, &mut returns, &mut items)?;
    }
    space(r)?;
    // RFC 9394 section 3.1: one PARTIAL, one ALL, or neither.
    if returns.all && returns.partial.is_some() {
        return Err(Syntax("ALL and PARTIAL exclude each other"));
    }
    // RFC 4731 section 3.1: without an option it is ALL.
    returns.all |= returns == Returns::default();
    Ok((Some(returns), items))
}

fn option(r: &mut Reader<'_>, returns: &mut Returns, items: &mut Vec<FetchItem>) -> Parsed<()> {
    let name = atom(r)?.to_ascii_uppercase();
    match name.as_str() {
        "MIN" => returns.min = true,
        "MAX" => returns.max = true,
        "ALL" => returns.all = true,
        "COUNT" => returns.count = true,
        "SAVE" => returns.save = true,
        "CONTEXT" => returns.context = true,
        // `modifier-update = "UPDATE" [ "(" fetch-att *(SP fetch-att) ")" ]` (RFC 5465 section 8).
        "UPDATE" => {
            returns.update = true;
            if r.rest().starts_with(b" (") {
                space(r)?;
                *items = fetch_items(r)?;
            }
        }
        "PARTIAL" if returns.partial.is_none() => {
            space(r)?;
            returns.partial = Some(partial_range(r)?);
        }
        _ => return Err(Syntax("no such result option, or one too many")),
    }
    Ok(())
}

/// `partial-range = partial-range-first / partial-range-last`;
/// `partial-range-first = nz-number ":" nz-number`;
/// `partial-range-last = MINUS nz-number ":" MINUS nz-number` (RFC 9394 section 4).
pub(super) fn partial_range(r: &mut Reader<'_>) -> Parsed<PartialRange> {
    let from_end = r.peek() == Some(b'-');
    let first = partial_end(r, from_end)?;
    if !r.eat(b':') {
        return Err(Syntax("a range of results is broken"));
    }
    let last = partial_end(r, from_end)?;
    Ok(PartialRange {
        ends: (first, last),
        from_end,
    })
}

fn partial_end(r: &mut Reader<'_>, from_end: bool) -> Parsed<u32> {
    let signed = r.eat(b'-');
    let number = r.number(u64::from(u32::MAX)).filter(|n| *n > 0);
    let number = number.and_then(|n| u32::try_from(n).ok());
    number
        .filter(|_| signed == from_end)
        .ok_or(Syntax("a range of results is broken"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_options() {
        let parse = |text: &str| returns(&mut Reader::new(text.as_bytes())).map(|read| read.0);
        let shown = |text: &str| format!("{:?}", parse(text).unwrap().unwrap());
        assert_eq!(parse("ALL"), Ok(None));
        assert_eq!(shown("RETURN () x"), shown("return (ALL) x"));
        let (update, items) =
            returns(&mut Reader::new(b"RETURN (UPDATE (UID FLAGS) CONTEXT) x")).unwrap();
        let update = update.unwrap();
        assert!(update.update && update.context && !update.all && items.len() == 2);
        let all = parse("RETURN (MIN MAX COUNT SAVE) x").unwrap().unwrap();
        assert!(all.min && all.max && all.count && all.save && !all.all);
        for bad in [
            "RETURN ALL x",
            "RETURN (ALL x",
            "RETURN (ALL PARTIAL 1:2) x",
            "RETURN (PARTIAL 1:2 PARTIAL 3:4) x",
            "RETURN (PARTIAL 0:2) x",
            "RETURN (PARTIAL -1:2) x",
            "RETURN (PARTIAL 1) x",
            "RETURN (FOO) x",
            "RETURN (MIN)",
            "RETURN (UPDATE () COUNT) x",
            "RETURN (UPDATE (FOO)) x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn windows_on_results() {
        for (text, count, places, told) in [
            ("1:3", 10, 0..3, "1:3"),
            ("3:1", 10, 0..3, "3:1"),
            ("9:20", 10, 8..10, "9:20"),
            ("11:20", 10, 10..10, "11:20"),
            ("-1:-3", 10, 7..10, "-1:-3"),
            ("-9:-20", 10, 0..2, "-9:-20"),
            ("1:4294967295", 0, 0..0, "1:4294967295"),
        ] {
            let range = partial_range(&mut Reader::new(text.as_bytes())).unwrap();
            assert_eq!(range.places(count), places, "{text}");
            let mut out = Vec::new();
            range.encode(&mut out);
            assert_eq!(out, told.as_bytes());
        }
    }
}
