//! What CONDSTORE and QRESYNC add to commands (RFC 7162 section 7), and the other modifiers of FETCH.

use super::returns::{PartialRange, partial_range};
use super::token::{Parsed, Syntax, atom, quoted, sequence_set, space};
use crate::mail::{Bound, ModSeq, Number, SeqSet, Set, Since, UidSet, UidValidity};
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

/// FETCH modifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FetchModifiers {
    /// RFC 7162 section 3.1.4.1.
    pub(crate) changed: Option<Since>,
    /// RFC 7162 section 3.2.6.
    pub(crate) vanished: bool,
    /// Only these of the messages that the set means (RFC 9394 section 3.3).
    pub(crate) partial: Option<PartialRange>,
}

/// `fetch-modifiers = SP "(" fetch-modifier *(SP fetch-modifier) ")"` (RFC 4466 section 2.4), where
/// `chgsince-fetch-mod = "CHANGEDSINCE" SP mod-sequence-value`, `rexpunges-fetch-mod = "VANISHED"` and
/// `modifier-partial = "PARTIAL" SP partial-range` (RFC 9394 section 4).
pub(crate) fn fetch_modifiers(r: &mut Reader<'_>) -> Parsed<FetchModifiers> {
    let mut modifiers = FetchModifiers::default();
    if !r.eat(b' ') {
        return Ok(modifiers);
    }
    if !r.eat(b'(') {
        return Err(Syntax("a list of FETCH modifiers is missing"));
    }
    loop {
        if r.eat_word("CHANGEDSINCE ") {
            modifiers.changed = Some(since(r)?);
        } else if r.eat_word("VANISHED") {
            modifiers.vanished = true;
        } else if modifiers.partial.is_none() && r.eat_word("PARTIAL ") {
            modifiers.partial = Some(partial_range(r)?);
        } else {
            return Err(Syntax("no such FETCH modifier, or one too many"));
        }
        if r.eat(b')') {
            return Ok(modifiers);
        }
        space(r)?;
    }
}

/// Parameters of SELECT and EXAMINE.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SelectParams {
    /// RFC 7162 section 3.1.8.
    pub(crate) condstore: bool,
    pub(crate) qresync: Option<Box<Resync>>,
}

/// What a client knows of a mailbox (RFC 7162 section 3.2.5).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resync {
    pub(crate) uid_validity: UidValidity,
    pub(crate) since: Since,
    /// `None`: every UID that was given so far.
    pub(crate) known: Option<UidSet>,
    /// Some of its messages by number and by UID, in the same order.
    pub(crate) matched: Option<(SeqSet, UidSet)>,
}

/// `select-params = SP "(" select-param *(SP select-param) ")"` (RFC 4466 section 2.1), where
/// `condstore-param = "CONDSTORE"`, and `"QRESYNC" SP "(" ... ")"`.
pub(crate) fn select_params(r: &mut Reader<'_>) -> Parsed<SelectParams> {
    let mut params = SelectParams::default();
    if !r.eat(b' ') {
        return Ok(params);
    }
    if !r.eat(b'(') {
        return Err(Syntax("a list of parameters is missing"));
    }
    loop {
        match atom(r)?.to_ascii_uppercase().as_str() {
            "CONDSTORE" => params.condstore = true,
            "QRESYNC" => {
                space(r)?;
                params.qresync = Some(Box::new(resync(r)?));
            }
            _ => return Err(Syntax("no such parameter")),
        }
        if r.eat(b')') {
            return Ok(params);
        }
        space(r)?;
    }
}

/// `"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`, where
/// `seq-match-data = "(" known-sequence-set SP known-uid-set ")"`.
fn resync(r: &mut Reader<'_>) -> Parsed<Resync> {
    if !r.eat(b'(') {
        return Err(Syntax("what is known of the mailbox is missing"));
    }
    let uid_validity = r
        .number(u64::from(u32::MAX))
        .and_then(|number| UidValidity::new(u32::try_from(number).ok()?))
        .ok_or(Syntax("a UIDVALIDITY is missing"))?;
    space(r)?;
    let mut resync = Resync {
        uid_validity,
        since: since(r)?,
        known: None,
        matched: None,
    };
    let mut more = r.eat(b' ');
    if more && r.peek() != Some(b'(') {
        resync.known = Some(known_set(r)?);
        more = r.eat(b' ');
    }
    if more {
        if !r.eat(b'(') {
            return Err(Syntax("a list of numbers and UIDs is missing"));
        }
        let seqs = known_set(r)?;
        space(r)?;
        resync.matched = Some((seqs, known_set(r)?));
        if !r.eat(b')') {
            return Err(Syntax("a list of numbers and UIDs does not end"));
        }
    }
    if r.eat(b')') {
        Ok(resync)
    } else {
        Err(Syntax("what is known of the mailbox does not end"))
    }
}

/// `sequence-set` where `*` is not allowed.
fn known_set<N: Number>(r: &mut Reader<'_>) -> Parsed<Set<N>> {
    let set = sequence_set(r)?;
    if set.0.iter().any(|(a, b)| [a, b].contains(&&Bound::Star)) {
        return Err(Syntax("* is not allowed here"));
    }
    Ok(set.resolve(None))
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

    #[test]
    fn what_a_client_knows() {
        let parse = |text: &str| select_params(&mut Reader::new(text.as_bytes()));
        let shown = |text: &str| {
            let resync = parse(text).ok().and_then(|params| params.qresync);
            resync.map(|resync| {
                let known = resync.known.map(|set| set.to_string());
                let matched = resync.matched.map(|(a, b)| format!("{a} {b}"));
                (resync.since.number(), known, matched)
            })
        };
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(shown(" (QRESYNC (1 2))"), Some((2, None, None)));
        assert_eq!(
            shown(" (condstore qresync (67890007 90060115194045000 41:211,214:541))"),
            Some((90_060_115_194_045_000, text("41:211,214:541"), None))
        );
        assert_eq!(
            shown(" (QRESYNC (1 2 1:29997 (5000,7500,9990:9999 15000,22500,29970)))"),
            Some((
                2,
                text("1:29997"),
                text("5000,7500,9990:9999 15000,22500,29970")
            ))
        );
        assert_eq!(
            shown(" (QRESYNC (1 2 (1 4)))"),
            Some((2, None, text("1 4")))
        );
        for bad in [
            " (QRESYNC)",
            " (QRESYNC (0 2))",
            " (QRESYNC (1))",
            " (QRESYNC (1 2 1:*))",
            " (QRESYNC (1 2 (1 *)))",
            " (QRESYNC (1 2 (1)))",
            " (QRESYNC (1 2 1 2))",
            " (QRESYNC (1 2)",
            " (QRESYNC (1 2 ))",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
