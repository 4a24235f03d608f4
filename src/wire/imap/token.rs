//! The terminals of IMAP's grammar (RFC 3501 section 9).

use crate::codec::mutf7;
use crate::mail::{
    Bound, Date, DateTime, Flags, InvalidName, Keyword, MailboxName, SequenceSet, SystemFlags,
};
use crate::wire::reader::Reader;

/// Why a command cannot be understood: what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syntax(pub(crate) &'static str);

pub(crate) type Parsed<T> = Result<T, Syntax>;

fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte)
}

/// astring characters: atom characters and `]`.
fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']' || byte >= 0x80
}

pub(crate) fn space(r: &mut Reader<'_>) -> Parsed<()> {
    if r.eat(b' ') {
        Ok(())
    } else {
        Err(Syntax("a space is missing"))
    }
}

pub(crate) fn end(r: &Reader<'_>) -> Parsed<()> {
    if r.at_end() {
        Ok(())
    } else {
        Err(Syntax("too many arguments"))
    }
}

pub(crate) fn atom<'a>(r: &mut Reader<'a>) -> Parsed<&'a str> {
    let taken = r.take_while(is_atom_char);
    if taken.is_empty() {
        return Err(Syntax("an atom is missing"));
    }
    std::str::from_utf8(taken).map_err(|_| Syntax("an atom is missing"))
}

/// `string = quoted / literal`; `None` if neither is next.
pub(crate) fn string(r: &mut Reader<'_>) -> Parsed<Option<Vec<u8>>> {
    match r.peek() {
        Some(b'"') => quoted(r).map(Some),
        Some(b'{') => literal(r).map(Some),
        _ => Ok(None),
    }
}

pub(crate) fn quoted(r: &mut Reader<'_>) -> Parsed<Vec<u8>> {
    r.eat(b'"');
    let mut text = Vec::new();
    loop {
        text.extend_from_slice(r.take_while(|b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0)));
        if r.eat(b'"') {
            return in_utf8(r, text);
        }
        if !r.eat(b'\\') {
            return Err(Syntax("a quoted string does not end"));
        }
        match r.take(1) {
            [byte @ (b'"' | b'\\')] => text.push(*byte),
            _ => return Err(Syntax("only \" and \\ can be quoted")),
        }
    }
}

/// `nstring / literal8`; `None` is NIL.
pub(super) fn nstring8(r: &mut Reader<'_>) -> Parsed<Option<Vec<u8>>> {
    if r.rest().starts_with(b"~{") {
        r.eat(b'~');
        return octets(r).map(Some);
    }
    match string(r)? {
        Some(text) => Ok(Some(text)),
        None if r.eat_word("NIL") => Ok(None),
        None => Err(Syntax("a string or NIL is missing")),
    }
}

/// RFC 6855 section 3: once UTF-8 is enabled nothing else may stand in a quoted string.
fn in_utf8(r: &Reader<'_>, text: Vec<u8>) -> Parsed<Vec<u8>> {
    match r.bounds().utf8 && std::str::from_utf8(&text).is_err() {
        true => Err(Syntax("a string is not UTF-8")),
        false => Ok(text),
    }
}

fn literal(r: &mut Reader<'_>) -> Parsed<Vec<u8>> {
    let text = octets(r)?;
    // RFC 3501 section 9, CHAR8: no NUL.
    match text.contains(&0) {
        true => Err(Syntax("NUL is not allowed")),
        false => Ok(text),
    }
}

/// A literal of any octets.
fn octets(r: &mut Reader<'_>) -> Parsed<Vec<u8>> {
    r.eat(b'{');
    let octets = r
        .number(u64::from(u32::MAX))
        .ok_or(Syntax("a literal has no length"))?;
    r.eat(b'+');
    if !r.eat(b'}') {
        return Err(Syntax("a literal is broken"));
    }
    r.eat(b'\r');
    if !r.eat(b'\n') {
        return Err(Syntax("a literal is broken"));
    }
    let octets = usize::try_from(octets).map_err(|_| Syntax("a literal is too long"))?;
    let text = r.take(octets);
    if text.len() < octets {
        return Err(Syntax("a literal is too short"));
    }
    Ok(text.to_vec())
}

/// `astring = 1*ASTRING-CHAR / string`.
pub(crate) fn astring(r: &mut Reader<'_>) -> Parsed<Vec<u8>> {
    if let Some(text) = string(r)? {
        return Ok(text);
    }
    let taken = r.take_while(is_astring_char);
    if taken.is_empty() {
        Err(Syntax("a string is missing"))
    } else {
        in_utf8(r, taken.to_vec())
    }
}

/// A mailbox name.
pub(crate) fn mailbox(r: &mut Reader<'_>) -> Parsed<Result<MailboxName, InvalidName>> {
    let bytes = astring(r)?;
    Ok(match name_text(r, &bytes) {
        Some(text) => MailboxName::new(&text),
        None => Err(InvalidName::Character),
    })
}

/// A mailbox by the name it is known by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) name: MailboxName,
    /// As the client wrote it, where that is not the same (RFC 9051 section 6.3.9.7). A delimiter at the
    /// end is no part of the name.
    pub(crate) written: Option<Box<str>>,
    /// It has an `&` that begins nothing of modified UTF-7, so it is told as another name.
    pub(crate) broken: bool,
}

/// As [`mailbox`], where the client has to be told what it is called.
pub(super) fn given(r: &mut Reader<'_>) -> Parsed<Result<Given, InvalidName>> {
    let bytes = astring(r)?;
    let Some(text) = name_text(r, &bytes) else {
        return Ok(Err(InvalidName::Character));
    };
    Ok(MailboxName::new(&text).map(|name| {
        let written = text.get(..name.as_str().len());
        let written = written.filter(|written| *written != name.as_str());
        Given {
            broken: is_broken(r, &bytes),
            written: written.map(Box::from),
            name,
        }
    }))
}

fn is_broken(r: &Reader<'_>, bytes: &[u8]) -> bool {
    !r.bounds().utf8 && bytes.contains(&b'&') && mutf7::decode(bytes).is_none()
}

/// Modified UTF-7, or UTF-8 where it is no such; UTF-8 alone once that is enabled.
pub(super) fn name_text(r: &Reader<'_>, bytes: &[u8]) -> Option<String> {
    let modified = match r.bounds().utf8 {
        true => None,
        false => mutf7::decode(bytes),
    };
    modified.or_else(|| String::from_utf8(bytes.to_vec()).ok())
}

/// `list-mailbox = 1*list-char / string`; may be empty as a string.
pub(crate) fn list_mailbox(r: &mut Reader<'_>) -> Parsed<String> {
    let bytes = match string(r)? {
        Some(text) => text,
        None => r
            .take_while(|b| is_astring_char(b) || b == b'%' || b == b'*')
            .to_vec(),
    };
    name_text(r, &bytes).ok_or(Syntax("a mailbox name is not valid"))
}

/// `sequence-set`, with `*`; or `seq-last-command = "$"` (RFC 5182 section 3).
pub(crate) fn sequence_set(r: &mut Reader<'_>) -> Parsed<SequenceSet> {
    if r.eat(b'$') {
        return Ok(SequenceSet::saved());
    }
    let mut ranges = Vec::new();
    loop {
        let first = bound(r)?;
        let last = if r.eat(b':') { bound(r)? } else { first };
        if ranges.len() >= r.bounds().set_ranges {
            return Err(Syntax("[LIMIT] Too many ranges in a set"));
        }
        ranges.push((first, last));
        if !r.eat(b',') {
            return Ok(SequenceSet(ranges));
        }
    }
}

pub(crate) fn bound(r: &mut Reader<'_>) -> Parsed<Bound> {
    if r.eat(b'*') {
        return Ok(Bound::Star);
    }
    let number = r
        .number(u64::from(u32::MAX))
        .filter(|n| *n > 0)
        .ok_or(Syntax("a number is missing or 0"))?;
    Ok(Bound::Number(u32::try_from(number).unwrap_or(u32::MAX)))
}

/// `flag-list = "(" [flag *(SP flag)] ")"`.
pub(crate) fn flag_list(r: &mut Reader<'_>) -> Parsed<Flags> {
    if !r.eat(b'(') {
        return Err(Syntax("a list of flags is missing"));
    }
    let mut flags = Flags::default();
    while !r.eat(b')') {
        flag(r, &mut flags)?;
        if !r.eat(b' ') && r.peek() != Some(b')') {
            return Err(Syntax("a list of flags does not end"));
        }
    }
    Ok(flags)
}

pub(crate) fn flag(r: &mut Reader<'_>, flags: &mut Flags) -> Parsed<()> {
    if r.peek() == Some(b'\\') {
        r.eat(b'\\');
        let name = format!("\\{}", atom(r)?);
        let system = SystemFlags::named(&name)
            .ok_or(Syntax("no such system flag, or one that cannot be set"))?;
        flags.system = flags.system.with(system);
        return Ok(());
    }
    let keyword = Keyword::new(atom(r)?).ok_or(Syntax("a keyword is not valid"))?;
    if !flags.keywords.contains(&keyword) {
        flags.keywords.push(keyword);
    }
    Ok(())
}

/// `date = date-text / DQUOTE date-text DQUOTE`.
pub(crate) fn date(r: &mut Reader<'_>) -> Parsed<Date> {
    let quoted = r.eat(b'"');
    let date = date_text(r)?;
    if quoted && !r.eat(b'"') {
        return Err(Syntax("a date is broken"));
    }
    Ok(date)
}

/// `date-text = date-day "-" date-month "-" date-year`.
fn date_text(r: &mut Reader<'_>) -> Parsed<Date> {
    let fault = Syntax("a date is broken");
    let day = r.number(31).ok_or(fault)?;
    let month = r
        .eat(b'-')
        .then(|| Date::month_named(r.take(3)))
        .flatten()
        .ok_or(fault)?;
    let year = r.eat(b'-').then(|| r.number(9999)).flatten().ok_or(fault)?;
    Date::new(
        u16::try_from(year).unwrap_or(0),
        month,
        u8::try_from(day).unwrap_or(0),
    )
    .ok_or(Syntax("no such day"))
}

/// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`.
pub(crate) fn date_time(r: &mut Reader<'_>) -> Parsed<DateTime> {
    let fault = Syntax("a date and time is broken");
    let must = |ok: bool| if ok { Ok(()) } else { Err(fault) };
    must(r.eat(b'"'))?;
    r.eat(b' ');
    let date = date_text(r)?;
    must(r.eat(b' '))?;
    let mut part = |before: Option<u8>| {
        must(before.is_none_or(|b| r.eat(b)))?;
        r.number(60).and_then(|n| u8::try_from(n).ok()).ok_or(fault)
    };
    let (hour, minute, second) = (part(None)?, part(Some(b':'))?, part(Some(b':'))?);
    must(r.eat(b' '))?;
    let sign = if r.eat(b'-') { -1 } else { 1 };
    if sign == 1 {
        must(r.eat(b'+'))?;
    }
    let zone = r
        .number(2359)
        .and_then(|n| i16::try_from(n).ok())
        .ok_or(fault)?;
    must(r.eat(b'"'))?;
    let offset = sign * (zone / 100 * 60 + zone % 100);
    DateTime::from_fields(date, hour, minute, second, offset).ok_or(Syntax("no such time"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::reader::Bounds;

    #[test]
    fn strings_and_names_in_utf8() {
        let utf8 = Bounds {
            utf8: true,
            ..Bounds::USUAL
        };
        let name = |bytes: &[u8], bounds| {
            let name = mailbox(&mut Reader::within(bytes, bounds));
            name.map(|name| name.map(|name| name.to_string()))
        };
        let good = |text: &str| Ok(Ok(text.to_owned()));
        assert_eq!(name(b"f&APw-r", Bounds::USUAL), good("f\u{fc}r"));
        assert_eq!(name(b"f&APw-r", utf8), good("f&APw-r"));
        for bounds in [Bounds::USUAL, utf8] {
            assert_eq!(name(b"\"f\xc3\xbcr\"", bounds), good("f\u{fc}r"));
        }
        for bad in [
            &b"\"f\xfcr\""[..],
            b"f\xfcr",
            b"\"\xed\xa0\x80\"",
            b"\"\xc3\"",
        ] {
            assert!(name(bad, utf8).is_err(), "{bad:?}");
            assert_eq!(name(bad, Bounds::USUAL), Ok(Err(InvalidName::Character)));
        }
    }
}
