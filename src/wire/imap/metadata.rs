//! GETMETADATA and SETMETADATA (RFC 5464 section 5).

use super::token::{Parsed, Syntax, astring, atom, name_text, nstring8, space};
use crate::mail::{Depth, EntryName, InvalidName, MailboxName};
use crate::wire::reader::Reader;

/// What annotations belong to; `None` is the server.
pub(crate) type Annotated = Option<Result<MailboxName, InvalidName>>;

/// What a GETMETADATA asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GetMetadata {
    pub(crate) of: Annotated,
    /// Octets of a value; longer ones are not told.
    pub(crate) max_size: Option<u32>,
    pub(crate) depth: Depth,
    pub(crate) entries: Vec<EntryName>,
}

/// What a SETMETADATA asks for; `None` takes a value away.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SetMetadata {
    pub(crate) of: Annotated,
    pub(crate) values: Vec<(EntryName, Option<Vec<u8>>)>,
}

/// `getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries`, after its word. The
/// options may also follow the mailbox, as in the examples of RFC 5464 section 4.2.1, and a list of
/// entries may have no parentheses, as in those of RFC 5464 section 4.4.1.
pub(super) fn get_metadata(r: &mut Reader<'_>) -> Parsed<GetMetadata> {
    space(r)?;
    let mut wanted = GetMetadata {
        of: None,
        max_size: None,
        depth: Depth::default(),
        entries: Vec::new(),
    };
    let before = r.peek() == Some(b'(');
    if before {
        options(r, &mut wanted)?;
        space(r)?;
    }
    wanted.of = annotated(r)?;
    space(r)?;
    if !before && r.peek() == Some(b'(') && !matches!(r.rest().get(1), Some(b'/' | b'"' | b'{')) {
        options(r, &mut wanted)?;
        space(r)?;
    }
    wanted.entries = entries(r)?;
    Ok(wanted)
}

/// `getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"`.
fn options(r: &mut Reader<'_>, wanted: &mut GetMetadata) -> Parsed<()> {
    r.eat(b'(');
    loop {
        match atom(r)?.to_ascii_uppercase().as_str() {
            "MAXSIZE" => {
                space(r)?;
                let octets = r.number(u64::from(u32::MAX));
                let octets = octets.and_then(|octets| u32::try_from(octets).ok());
                wanted.max_size = Some(octets.ok_or(Syntax("a number is missing"))?);
            }
            "DEPTH" => {
                space(r)?;
                wanted.depth = match atom(r)?.to_ascii_lowercase().as_str() {
                    "0" => Depth::Zero,
                    "1" => Depth::One,
                    "infinity" => Depth::Infinity,
                    _ => return Err(Syntax("DEPTH is 0, 1 or infinity")),
                };
            }
            _ => return Err(Syntax("no such option")),
        }
        if r.eat(b')') {
            return Ok(());
        }
        space(r)?;
    }
}

/// `entries = entry / "(" entry *(SP entry) ")"`.
pub(super) fn entries(r: &mut Reader<'_>) -> Parsed<Vec<EntryName>> {
    let listed = r.eat(b'(');
    let mut entries = vec![entry(r)?];
    while r.eat(b' ') {
        entries.push(entry(r)?);
    }
    if listed && !r.eat(b')') {
        return Err(Syntax("a list of entries does not end"));
    }
    Ok(entries)
}

fn entry(r: &mut Reader<'_>) -> Parsed<EntryName> {
    EntryName::new(&astring(r)?).ok_or(Syntax("an entry name is not valid"))
}

/// An empty name stands for the server.
fn annotated(r: &mut Reader<'_>) -> Parsed<Annotated> {
    let name = astring(r)?;
    Ok((!name.is_empty()).then(|| match name_text(r, &name) {
        Some(text) => MailboxName::new(&text),
        None => Err(InvalidName::Character),
    }))
}

/// `setmetadata = "SETMETADATA" SP mailbox SP entry-values`, after its word, with `entry-values = "("
/// entry-value *(SP entry-value) ")"`.
pub(super) fn set_metadata(r: &mut Reader<'_>) -> Parsed<SetMetadata> {
    space(r)?;
    let of = annotated(r)?;
    space(r)?;
    if !r.eat(b'(') {
        return Err(Syntax("a list of entries is missing"));
    }
    let mut values = Vec::new();
    loop {
        let name = entry(r)?;
        if !name.can_have_value() {
            return Err(Syntax("an entry of that name has no value"));
        }
        space(r)?;
        values.push((name, nstring8(r)?));
        if r.eat(b')') {
            return Ok(SetMetadata { of, values });
        }
        space(r)?;
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Command, parse};
    use super::*;
    use crate::wire::imap::Bounds;

    fn get(text: &str) -> Option<GetMetadata> {
        match parse(format!("a {text}").as_bytes(), Bounds::USUAL).command {
            Ok(Command::GetMetadata(wanted)) => Some(*wanted),
            _ => None,
        }
    }

    fn set(text: &[u8]) -> Option<SetMetadata> {
        match parse(&[b"a ", text].concat(), Bounds::USUAL).command {
            Ok(Command::SetMetadata(wanted)) => Some(*wanted),
            _ => None,
        }
    }

    #[test]
    fn what_is_asked_for() {
        let entries = |wanted: &GetMetadata| {
            let names = wanted.entries.iter().map(EntryName::as_str);
            names.collect::<Vec<_>>().join(" ")
        };
        let wanted = get("GETMETADATA \"\" /shared/Comment").unwrap();
        assert_eq!(
            (wanted.of.is_none(), entries(&wanted)),
            (true, "/shared/comment".into())
        );
        for text in [
            "getmetadata (MAXSIZE 1024 DEPTH infinity) inbox (/shared/a \"/private/b\")",
            "GETMETADATA INBOX (depth Infinity maxsize 1024) (/shared/a /private/b)",
            "GETMETADATA (DEPTH infinity MAXSIZE 1024) INBOX /shared/a /private/b",
        ] {
            let wanted = get(text).unwrap();
            assert_eq!(wanted.of, Some(Ok(MailboxName::inbox())));
            assert_eq!(
                (wanted.max_size, wanted.depth),
                (Some(1024), Depth::Infinity)
            );
            assert_eq!(entries(&wanted), "/shared/a /private/b", "{text}");
        }
        for bad in [
            "GETMETADATA",
            "GETMETADATA INBOX",
            "GETMETADATA INBOX ()",
            "GETMETADATA INBOX (/shared/a",
            "GETMETADATA INBOX /shared/a/",
            "GETMETADATA INBOX /shared/*",
            "GETMETADATA INBOX comment",
            "GETMETADATA (MAXSIZE) INBOX /shared/a",
            "GETMETADATA (MAXSIZE 4294967296) INBOX /shared/a",
            "GETMETADATA (DEPTH 2) INBOX /shared/a",
            "GETMETADATA (FOO 2) INBOX /shared/a",
            "GETMETADATA (DEPTH 1) INBOX (DEPTH 1) /shared/a",
        ] {
            assert_eq!(get(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_set() {
        let text = b"SETMETADATA x (/shared/a NIL /private/b {3+}\r\nNIL /shared/c ~{2+}\r\n\0a /shared/d \"\")";
        let values: Vec<Option<Vec<u8>>> = set(text)
            .unwrap()
            .values
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        let expected: [Option<&[u8]>; 4] = [None, Some(b"NIL"), Some(b"\0a"), Some(b"")];
        assert_eq!(values, expected.map(|value| value.map(<[u8]>::to_vec)));
        for bad in [
            "SETMETADATA x",
            "SETMETADATA x ()",
            "SETMETADATA x (/shared/a)",
            "SETMETADATA x (/shared/a b)",
            "SETMETADATA x (/shared NIL)",
            "SETMETADATA x (/shared/vendor/x NIL)",
            "SETMETADATA x (/shared/a NIL",
            "SETMETADATA x (/shared/a {1+}\r\n\0)",
            "SETMETADATA x (/shared/a ~\"b\")",
            "SETMETADATA x /shared/a NIL",
        ] {
            assert_eq!(set(bad.as_bytes()), None, "{bad}");
        }
    }
}
