//! What CONDSTORE adds to commands (RFC 7162 section 7).

use super::token::{Parsed, Syntax, atom, quoted, space};
use crate::mail::{ModSeq, Since};
use crate::wire::reader::Reader;

/// `mod-sequence-valzer = "0" / mod-sequence-value`; also where only `mod-sequence-value` may stand,
/// as clients ask for everything since 0.
pub(crate) fn since(r: &mut Reader<'_>) -> Parsed<Since> {
    r.number(ModSeq::MAX_NUMBER)
        .and_then(Since::new)
        .ok_or(Syntax("a mod-sequence is missing or too large"))
}

/// `search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer`, after its word.
/// The entry is read and not used: one mod-sequence stands for all of a message
/// (RFC 7162 section 3.1.5).
pub(crate) fn search_mod_seq(r: &mut Reader<'_>) -> Parsed<Since> {
    space(r)?;
    if r.peek() == Some(b'"') {
        let entry = quoted(r)?;
        if !entry.to_ascii_lowercase().starts_with(b"/flags/") {
            return Err(Syntax("no such metadata item"));
        }
        space(r)?;
        let kind = atom(r)?;
        if !["priv", "shared", "all"]
            .iter()
            .any(|k| k.eq_ignore_ascii_case(kind))
        {
            return Err(Syntax("a metadata item is priv, shared or all"));
        }
        space(r)?;
    }
    since(r)
}

/// `store-modifier =/ "UNCHANGEDSINCE" SP mod-sequence-valzer`, in parentheses and with the space
/// after them; `None` if there are no modifiers.
pub(crate) fn store_modifiers(r: &mut Reader<'_>) -> Parsed<Option<Since>> {
    if !r.eat(b'(') {
        return Ok(None);
    }
    if !r.eat_word("UNCHANGEDSINCE ") {
        return Err(Syntax("no such STORE modifier"));
    }
    let unchanged = since(r)?;
    if !r.eat(b')') {
        return Err(Syntax("the STORE modifiers do not end"));
    }
    space(r)?;
    Ok(Some(unchanged))
}

/// `chgsince-fetch-mod = "CHANGEDSINCE" SP mod-sequence-value` as `fetch-modifiers`
/// (RFC 4466 section 2.4), with the space before them; `None` if there are none.
pub(crate) fn fetch_modifiers(r: &mut Reader<'_>) -> Parsed<Option<Since>> {
    if !r.eat(b' ') {
        return Ok(None);
    }
    if !r.eat(b'(') || !r.eat_word("CHANGEDSINCE ") {
        return Err(Syntax("no such FETCH modifier"));
    }
    let changed = since(r)?;
    if !r.eat(b')') {
        return Err(Syntax("the FETCH modifiers do not end"));
    }
    Ok(Some(changed))
}

/// `select-params = SP "(" select-param *(SP select-param) ")"` (RFC 4466 section 2.1), where
/// `condstore-param = "CONDSTORE"`; true if it is there.
pub(crate) fn select_params(r: &mut Reader<'_>) -> Parsed<bool> {
    if !r.eat(b' ') {
        return Ok(false);
    }
    if !r.eat(b'(') {
        return Err(Syntax("a list of parameters is missing"));
    }
    loop {
        if !atom(r)?.eq_ignore_ascii_case("CONDSTORE") {
            return Err(Syntax("no such parameter"));
        }
        if r.eat(b')') {
            return Ok(true);
        }
        space(r)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mod_sequences_are_63_bits() {
        let parse = |text: &str| {
            since(&mut Reader::new(text.as_bytes()))
                .ok()
                .map(Since::number)
        };
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("9223372036854775807"), Some(ModSeq::MAX_NUMBER));
        for bad in ["9223372036854775808", "99999999999999999999", "", "-1", "x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn entries_are_checked_and_ignored() {
        let parse = |text: &str| {
            search_mod_seq(&mut Reader::new(text.as_bytes()))
                .ok()
                .map(Since::number)
        };
        assert_eq!(parse(" 7"), Some(7));
        assert_eq!(
            parse(" \"/flags/\\\\draft\" all 620162338"),
            Some(620_162_338)
        );
        for bad in [
            "7",
            " \"/x\" all 1",
            " \"/flags/a\" none 1",
            " \"/flags/a\" 1",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
