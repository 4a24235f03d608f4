//! What SORT and THREAD are given (RFC 5256 section 5).

use super::search::{Searched, search_criteria};
use super::token::{Parsed, Syntax, atom, space};
use crate::mail::{SortCriterion, SortKey, Threading};
use crate::wire::reader::Reader;

/// Sort criteria of one SORT; more than all keys there are say nothing new.
const MAX_CRITERIA: usize = 2 * SortKey::ALL.len();

/// `sort-criteria SP search-criteria`.
pub(super) fn sort(r: &mut Reader<'_>) -> Parsed<(Vec<SortCriterion>, Searched)> {
    let order = sort_criteria(r)?;
    space(r)?;
    Ok((order, search_criteria(r)?))
}

/// `thread-alg SP search-criteria`.
pub(super) fn thread(r: &mut Reader<'_>) -> Parsed<(Threading, Searched)> {
    let threading = algorithm(r)?;
    space(r)?;
    Ok((threading, search_criteria(r)?))
}

/// `thread-alg`.
pub(super) fn algorithm(r: &mut Reader<'_>) -> Parsed<Threading> {
    let name = atom(r)?;
    let own = |(_, own): &&(Threading, &str)| own.eq_ignore_ascii_case(name);
    let found = Threading::ALL.iter().find(own);
    let (threading, _) = found.ok_or(Syntax("no such threading algorithm"))?;
    Ok(*threading)
}

/// `sort-criteria = "(" sort-criterion *(SP sort-criterion) ")"`.
fn sort_criteria(r: &mut Reader<'_>) -> Parsed<Vec<SortCriterion>> {
    if !r.eat(b'(') {
        return Err(Syntax("a list of sort criteria is missing"));
    }
    let mut order = Vec::new();
    loop {
        if order.len() >= MAX_CRITERIA {
            return Err(Syntax("too many sort criteria"));
        }
        order.push(sort_criterion(r)?);
        if r.eat(b')') {
            return Ok(order);
        }
        space(r)?;
    }
}

/// `sort-criterion = ["REVERSE" SP] sort-key`.
fn sort_criterion(r: &mut Reader<'_>) -> Parsed<SortCriterion> {
    let reverse = r.eat_word("REVERSE ");
    let name = atom(r)?;
    let own = |(_, own): &&(SortKey, &str)| own.eq_ignore_ascii_case(name);
    let found = SortKey::ALL.iter().find(own);
    let (key, _) = found.ok_or(Syntax("no such sort key"))?;
    Ok(SortCriterion { key: *key, reverse })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_sort_and_thread() {
        let parse = |text: &str| sort(&mut Reader::new(text.as_bytes()));
        let (order, searched) = parse("(reverse DATE Subject) UTF-8 ALL").unwrap();
        let criterion = |key, reverse| SortCriterion { key, reverse };
        let expected = [
            criterion(SortKey::Date, true),
            criterion(SortKey::Subject, false),
        ];
        assert_eq!(order, expected);
        assert!(searched.criteria().is_some());
        assert_eq!(parse("(CC) klingon ALL").unwrap().1, Searched::BadCharset);
        let many = format!("({}) UTF-8 ALL", ["TO"; 100].join(" "));
        for bad in [
            "",
            "() UTF-8 ALL",
            "(DATE) UTF-8",
            "(DATE)",
            "(REVERSE) UTF-8 ALL",
            "(FOO) UTF-8 ALL",
            "DATE UTF-8 ALL",
            &many,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let threads = |text: &str| thread(&mut Reader::new(text.as_bytes()));
        assert_eq!(threads("refs UTF-8 ALL").unwrap().0, Threading::Refs);
        assert!(threads("FOO UTF-8 ALL").is_err());
        assert!(threads("REFERENCES ALL").is_err());
    }
}
