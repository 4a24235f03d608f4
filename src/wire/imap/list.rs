//! LIST with its options (RFC 5258 section 6), and CREATE with its (RFC 6154 section 6).

use super::metadata::entries;
use super::status::{StatusItem, status_items};
use super::token::{Parsed, Syntax, atom, list_mailbox, space};
use crate::mail::{EntryName, SpecialUse};
use crate::wire::reader::Reader;

/// Which of the listing commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    List,
    Lsub,
    /// What some clients used before RFC 6154; the answer is that of LIST.
    Xlist,
}

/// What a LIST asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) form: Form,
    /// Has any option or a list of patterns (RFC 5258 section 1).
    pub(crate) extended: bool,
    pub(crate) select: Select,
    pub(crate) reference: String,
    pub(crate) patterns: Vec<String>,
    /// `\Subscribed` is wanted.
    pub(crate) subscribed: bool,
    /// RFC 5819 section 2: a STATUS for each mailbox; empty: none.
    pub(crate) status: Vec<StatusItem>,
    /// RFC 9590: these annotations of each mailbox.
    pub(crate) metadata: Vec<EntryName>,
}

/// Selection options; names have to meet all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Select {
    pub(crate) subscribed: bool,
    /// RFC 6154 section 3.
    pub(crate) special_use: bool,
    /// Names above those that meet the options, too.
    pub(crate) recursive: bool,
}

/// Patterns of one LIST.
const MAX_PATTERNS: usize = 100;

/// `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`, after its word.
pub(crate) fn list(r: &mut Reader<'_>, form: Form) -> Parsed<List> {
    space(r)?;
    let mut list = List {
        form,
        extended: false,
        select: Select::default(),
        reference: String::new(),
        patterns: Vec::new(),
        subscribed: false,
        status: Vec::new(),
        metadata: Vec::new(),
    };
    if form == Form::List && r.peek() == Some(b'(') {
        list.extended = true;
        list.select = select_options(r)?;
        list.subscribed = list.select.subscribed;
        space(r)?;
    }
    list.reference = list_mailbox(r)?;
    space(r)?;
    if form == Form::List && r.peek() == Some(b'(') {
        list.extended = true;
        list.patterns = patterns(r)?;
    } else {
        list.patterns.push(list_mailbox(r)?);
    }
    if form == Form::List && r.eat(b' ') {
        list.extended = true;
        return_options(r, &mut list)?;
    }
    Ok(list)
}

/// A list in parentheses, each element read by `element`; may be empty.
fn elements(
    r: &mut Reader<'_>,
    mut element: impl FnMut(&mut Reader<'_>) -> Parsed<()>,
) -> Parsed<()> {
    if !r.eat(b'(') {
        return Err(Syntax("a list is missing"));
    }
    if r.eat(b')') {
        return Ok(());
    }
    loop {
        element(r)?;
        if r.eat(b')') {
            return Ok(());
        }
        space(r)?;
    }
}

/// `list-select-opts = "(" [list-select-opt *(SP list-select-opt)] ")"`. REMOTE selects no more: there
/// are no remote mailboxes.
fn select_options(r: &mut Reader<'_>) -> Parsed<Select> {
    let mut select = Select::default();
    elements(r, |r| {
        match atom(r)?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => select.subscribed = true,
            "SPECIAL-USE" => select.special_use = true,
            "RECURSIVEMATCH" => select.recursive = true,
            "REMOTE" => {}
            _ => return Err(Syntax("no such selection option")),
        }
        Ok(())
    })?;
    if select.recursive && !select.subscribed && !select.special_use {
        return Err(Syntax("RECURSIVEMATCH needs another selection option"));
    }
    Ok(select)
}

/// `patterns = "(" list-mailbox *(SP list-mailbox) ")"`.
fn patterns(r: &mut Reader<'_>) -> Parsed<Vec<String>> {
    let mut patterns = Vec::new();
    elements(r, |r| {
        if patterns.len() >= MAX_PATTERNS {
            return Err(Syntax("too many patterns"));
        }
        patterns.push(list_mailbox(r)?);
        Ok(())
    })?;
    if patterns.is_empty() {
        return Err(Syntax("a pattern is missing"));
    }
    Ok(patterns)
}

/// `list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")"`. Children and special
/// uses are told in any case.
fn return_options(r: &mut Reader<'_>, list: &mut List) -> Parsed<()> {
    if !r.eat_word("RETURN ") {
        return Err(Syntax("RETURN is missing"));
    }
    elements(r, |r| {
        match atom(r)?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => list.subscribed = true,
            "CHILDREN" | "SPECIAL-USE" => {}
            "METADATA" => {
                space(r)?;
                if r.peek() != Some(b'(') {
                    return Err(Syntax("a list of entries is missing"));
                }
                list.metadata = entries(r)?;
            }
            "STATUS" => {
                space(r)?;
                list.status = status_items(r)?;
            }
            _ => return Err(Syntax("no such return option")),
        }
        Ok(())
    })
}

/// `create-param = "USE" SP "(" [use-attr *(SP use-attr)] ")"` in `SP "(" ... ")"` (RFC 6154
/// section 6). `None` stands for a use that no mailbox here can have.
pub(crate) fn create_params(r: &mut Reader<'_>) -> Parsed<Option<Vec<SpecialUse>>> {
    let mut uses = Some(Vec::new());
    if !r.eat(b' ') {
        return Ok(uses);
    }
    elements(r, |r| {
        if !r.eat_word("USE ") {
            return Err(Syntax("no such parameter"));
        }
        elements(r, |r| {
            if !r.eat(b'\\') {
                return Err(Syntax("a special use is missing"));
            }
            match (SpecialUse::named(&format!("\\{}", atom(r)?)), &mut uses) {
                (Some(special_use), Some(uses)) => uses.push(special_use),
                _ => uses = None,
            }
            Ok(())
        })
    })?;
    Ok(uses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<List> {
        let mut r = Reader::new(text.as_bytes());
        list(&mut r, Form::List).and_then(|list| super::super::token::end(&r).map(|()| list))
    }

    #[test]
    fn old_and_extended_forms() {
        for (text, extended, patterns) in [
            (" \"\" *", false, vec!["*"]),
            (" () \"\" *", true, vec!["*"]),
            (" \"\" (a %/b \"\")", true, vec!["a", "%/b", ""]),
            (" x % RETURN ()", true, vec!["%"]),
            (
                " (REMOTE subscribed) \"\" % RETURN (CHILDREN SPECIAL-USE)",
                true,
                vec!["%"],
            ),
        ] {
            let list = parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert_eq!(
                (list.extended, list.patterns),
                (extended, patterns.iter().map(|p| (*p).to_owned()).collect())
            );
        }
        let list = parse(
            " (SPECIAL-USE RECURSIVEMATCH) \"\" * RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN))",
        )
        .unwrap();
        assert!(list.select.special_use && list.select.recursive && list.subscribed);
        assert_eq!(list.status, [StatusItem::Messages, StatusItem::Unseen]);
        for bad in [
            " (RECURSIVEMATCH) \"\" *",
            " (FOO) \"\" *",
            " \"\" ()",
            " \"\" (a",
            " \"\" * RETURN",
            " \"\" * RETURN (STATUS)",
            " \"\" * RETURN (STATUS ())",
            " \"\" * FOO",
            " (SUBSCRIBED)\"\" *",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many = format!(" \"\" ({}x)", "x ".repeat(MAX_PATTERNS));
        assert!(parse(&many).is_err());
    }

    #[test]
    fn uses_of_a_new_mailbox() {
        let parse = |text: &str| create_params(&mut Reader::new(text.as_bytes()));
        assert_eq!(parse(""), Ok(Some(vec![])));
        assert_eq!(parse(" (USE ())"), Ok(Some(vec![])));
        let both = vec![SpecialUse::Drafts, SpecialUse::Sent];
        assert_eq!(parse(" (use (\\drafts \\Sent))"), Ok(Some(both)));
        assert_eq!(parse(" (USE (\\Sent \\All))"), Ok(None));
        for bad in [
            " (USE)",
            " (FOO (\\Sent))",
            " (USE (Sent))",
            " (USE (\\Sent)",
            " x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
