//! Address lists (RFC 5322 section 3.4) as ENVELOPE wants them.

use super::encoded::decode_header;
use super::envelope::one_line;
use super::token::Cursor;

/// One entry of an address list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Address {
    /// Display name, or the comment of an old-style address; encoded words as they stand.
    pub(crate) name: Option<Vec<u8>>,
    /// Source route `@a,@b`.
    pub(crate) route: Option<Vec<u8>>,
    pub(crate) mailbox: Option<Vec<u8>>,
    /// `None` marks the start (mailbox is the group's name) or the end (no mailbox) of a group.
    pub(crate) domain: Option<Vec<u8>>,
}

/// Most addresses that a search looks at in one field.
const MAX_SEARCHED: usize = 10_000;

/// What Dovecot gives for parts that are not there, so that clients see what they know.
const MISSING_MAILBOX: &[u8] = b"MISSING_MAILBOX";
const MISSING_DOMAIN: &[u8] = b"MISSING_DOMAIN";
/// The domain, likewise, of what stands between angle brackets and is no address.
const SYNTAX_ERROR: &[u8] = b"SYNTAX_ERROR";

/// The first entry of an address list.
pub(crate) fn first_address(value: &[u8]) -> Option<Address> {
    addresses(value, 1).into_iter().next()
}

/// Parses an address list; what is broken in an entry does not reach beyond its comma. Of more
/// than `most` the rest is left out.
pub(crate) fn addresses(value: &[u8], most: usize) -> Vec<Address> {
    let mut cursor = Cursor::new(value);
    let mut list = Vec::new();
    let mut in_group = false;
    while list.len() < most {
        cursor.skip();
        match cursor.peek() {
            None => break,
            // RFC 5322 section 4.4: a list may have null members.
            Some(b',') => {
                cursor.bump();
            }
            Some(b';') => {
                cursor.bump();
                if std::mem::take(&mut in_group) {
                    list.push(Address::default());
                }
            }
            Some(_) => one(&mut cursor, &mut list, &mut in_group),
        }
    }
    if in_group {
        list.push(Address::default());
    }
    list
}

/// How the name of an address stands in text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Plain,
    /// As it has to in a field where it has specials (RFC 5322 section 3.2.4).
    Quoted,
}

/// The addresses of a field as ENVELOPE has them, as text for people: names decoded, comments
/// that are no name left out.
pub(crate) fn address_text(value: &[u8], names: Names) -> String {
    let mut out = String::new();
    for address in addresses(value, MAX_SEARCHED) {
        if !out.is_empty() {
            out.push_str(", ");
        }
        address.show(names, &mut out);
    }
    out
}

/// The DISPLAY sort value of a field (RFC 5957 section 3): the name of its first address as ENVELOPE
/// has it, else the address; empty without one.
pub(crate) fn display_name(value: &[u8]) -> String {
    let Some(first) = first_address(value) else {
        return String::new();
    };
    let text = |part: &Option<Vec<u8>>| decode_header(part.as_deref().unwrap_or_default());
    let name = decode_header(&one_line(first.name.as_deref().unwrap_or_default()));
    if !name.is_empty() {
        return name;
    }
    match &first.domain {
        Some(domain) => format!("{}@{}", text(&first.mailbox), decode_header(domain)),
        None => text(&first.mailbox),
    }
}

impl Address {
    fn show(&self, names: Names, out: &mut String) {
        let part = |text: &Option<Vec<u8>>| decode_header(text.as_deref().unwrap_or_default());
        let Some(domain) = &self.domain else {
            // The name of a group, or its end.
            return out.push_str(&part(&self.mailbox));
        };
        let domain = decode_header(domain);
        match &self.name {
            Some(name) => {
                let name = decode_header(name);
                match names {
                    Names::Plain => out.push_str(&name),
                    Names::Quoted => {
                        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
                        out.push_str(&format!("\"{name}\""));
                    }
                }
                out.push_str(" <");
                out.push_str(&part(&self.route));
                out.push_str(&format!("{}@{domain}>", part(&self.mailbox)));
            }
            None => out.push_str(&format!("{}@{domain}", part(&self.mailbox))),
        }
    }
}

/// One mailbox or the start of a group.
fn one(cursor: &mut Cursor<'_>, list: &mut Vec<Address>, in_group: &mut bool) {
    let mut ahead = cursor.clone();
    let name = phrase(&mut ahead);
    let address = match ahead.peek() {
        Some(b'<') => {
            *cursor = ahead;
            name_addr(cursor, name)
        }
        Some(b':') if !name.is_empty() && !*in_group => {
            *cursor = ahead;
            cursor.bump();
            *in_group = true;
            return list.push(Address {
                mailbox: Some(name),
                ..Address::default()
            });
        }
        _ => addr_spec(cursor),
    };
    list.push(address);
    next_member(cursor);
}

/// Goes on to the end of this member of the list.
fn next_member(cursor: &mut Cursor<'_>) {
    loop {
        cursor.skip();
        cursor.until(b",;\"(");
        if cursor.peek() != Some(b'(') && cursor.quoted().is_none() {
            return;
        }
    }
}

fn or_missing(text: Vec<u8>, missing: &[u8]) -> Option<Vec<u8>> {
    Some(if text.is_empty() {
        missing.to_vec()
    } else {
        text
    })
}

fn unless_empty(text: Vec<u8>) -> Option<Vec<u8>> {
    (!text.is_empty()).then_some(text)
}

/// Words with one blank between them, up to what can be in none.
fn phrase(cursor: &mut Cursor<'_>) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    loop {
        cursor.skip();
        let word = match cursor.quoted() {
            Some(quoted) => quoted,
            None => match cursor.word() {
                [] => return out,
                word => word.to_vec(),
            },
        };
        if !out.is_empty() && !word.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(&word);
    }
}

/// `<route:mailbox@domain>` after a display name, or with a comment instead of one.
fn name_addr(cursor: &mut Cursor<'_>, name: Vec<u8>) -> Address {
    let mut comment = None;
    let mut address = angle(cursor);
    cursor.skip_cfws(&mut comment);
    address.name = unless_empty(name).or(comment).filter(|c| !c.is_empty());
    address
}

/// `mailbox@domain`, or what stands in its place: a name without an address, a local user.
fn addr_spec(cursor: &mut Cursor<'_>) -> Address {
    let start = cursor.clone();
    let mut comment = None;
    let quoted = cursor.peek() == Some(b'"');
    let mailbox = local_part(cursor, &mut comment);
    let nameless = mailbox.is_empty() || cursor.peek() == Some(b'@');
    let domain = if cursor.eat(b'@') {
        domain(cursor, &mut comment)
    } else {
        Vec::new()
    };
    cursor.skip_cfws(&mut comment);
    let comment = comment.filter(|c| !c.is_empty());
    let mut address = Address {
        name: comment,
        route: None,
        mailbox: or_missing(mailbox, MISSING_MAILBOX),
        domain: or_missing(domain, MISSING_DOMAIN),
    };
    // One word alone is a local user, more of them or a quoted one is somebody's name.
    let alone = matches!(cursor.peek(), None | Some(b',' | b';' | b':' | b'\\'));
    if !nameless && address.name.is_none() && (quoted || !alone) {
        *cursor = start;
        address.name = unless_empty(phrase(cursor));
        address.mailbox = or_missing(Vec::new(), MISSING_MAILBOX);
    }
    address
}

/// What stands between angle brackets.
fn angle(cursor: &mut Cursor<'_>) -> Address {
    cursor.bump();
    cursor.skip();
    let route = (cursor.peek() == Some(b'@')).then(|| {
        let route: Vec<u8> = cursor
            .until(b":>")
            .iter()
            .copied()
            .filter(|b| !b.is_ascii_whitespace())
            .collect();
        cursor.eat(b':');
        route
    });
    let mut comment = None;
    let mailbox = local_part(cursor, &mut comment);
    let mut domain = if cursor.eat(b'@') {
        domain(cursor, &mut comment)
    } else {
        Vec::new()
    };
    cursor.skip();
    if !cursor.eat(b'>') && !cursor.at_end() {
        domain = SYNTAX_ERROR.to_vec();
        cursor.until(b">,");
        cursor.eat(b'>');
    }
    Address {
        name: None,
        route,
        mailbox: or_missing(mailbox, MISSING_MAILBOX),
        domain: or_missing(domain, MISSING_DOMAIN),
    }
}

/// Words with dots between them (RFC 5322 section 3.4.1, local-part), dots alone too; empty if none.
fn local_part(cursor: &mut Cursor<'_>, comment: &mut Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut after_word = false;
    loop {
        cursor.skip_cfws(comment);
        if cursor.eat(b'.') {
            out.push(b'.');
            after_word = false;
            continue;
        }
        if after_word {
            return out;
        }
        match cursor.quoted() {
            Some(quoted) => out.extend_from_slice(&quoted),
            None => match cursor.atom() {
                [] => return out,
                atom => out.extend_from_slice(atom),
            },
        }
        after_word = true;
    }
}

/// A dot-atom with blanks and comments taken out, or a domain literal; empty if there is no whole one.
fn domain(cursor: &mut Cursor<'_>, comment: &mut Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    cursor.skip_cfws(comment);
    if let Some(literal) = cursor.domain_literal() {
        return literal;
    }
    loop {
        let atom = cursor.atom();
        if atom.is_empty() {
            return Vec::new();
        }
        out.extend_from_slice(atom);
        cursor.skip_cfws(comment);
        if !cursor.eat(b'.') {
            return out;
        }
        out.push(b'.');
        cursor.skip_cfws(comment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Vec<String> {
        let text = |part: Option<Vec<u8>>| {
            part.map_or("-".to_owned(), |p| String::from_utf8_lossy(&p).into_owned())
        };
        addresses(value.as_bytes(), 10_000)
            .into_iter()
            .map(|a| {
                format!(
                    "{}|{}|{}|{}",
                    text(a.name),
                    text(a.route),
                    text(a.mailbox),
                    text(a.domain)
                )
            })
            .collect()
    }

    #[test]
    fn lists_as_imap_shows_them() {
        for (value, expected) in [
            ("a@b.example", &["-|-|a|b.example"] as &[&str]),
            (
                "Joe Q. Public <john.q.public@example.com>",
                &["Joe Q. Public|-|john.q.public|example.com"],
            ),
            (
                "\"Giant; \\\"Big\\\" Box\" <x@y>",
                &["Giant; \"Big\" Box|-|x|y"],
            ),
            (
                "pete(his account)@silly.test(his host)",
                &["his host|-|pete|silly.test"],
            ),
            ("a@b (Name)", &["Name|-|a|b"]),
            (
                "A Group:Ed <joe@where.test>,John <jdoe@one.test>;",
                &[
                    "-|-|A Group|-",
                    "Ed|-|joe|where.test",
                    "John|-|jdoe|one.test",
                    "-|-|-|-",
                ],
            ),
            (
                "Undisclosed recipients:;",
                &["-|-|Undisclosed recipients|-", "-|-|-|-"],
            ),
            ("<@a,@b:c@d>", &["-|@a,@b|c|d"]),
            ("<>", &["-|-|MISSING_MAILBOX|MISSING_DOMAIN"]),
            ("nobody", &["-|-|nobody|MISSING_DOMAIN"]),
            ("a@[127.0.0.1], b@c", &["-|-|a|[127.0.0.1]", "-|-|b|c"]),
            (", ,", &[]),
            ("\"quo\\\"ted\"@d", &["-|-|quo\"ted|d"]),
            (
                "Big Bug bb@x",
                &["Big Bug bb|-|MISSING_MAILBOX|MISSING_DOMAIN"],
            ),
            ("\"Mary\"", &["Mary|-|MISSING_MAILBOX|MISSING_DOMAIN"]),
            ("<a b@c>, d@e", &["-|-|a|SYNTAX_ERROR", "-|-|d|e"]),
            ("a@b.\"c, d\", e@f", &["-|-|a|MISSING_DOMAIN", "-|-|e|f"]),
            (
                "a@b (), [c]@d",
                &["-|-|a|b", "-|-|MISSING_MAILBOX|MISSING_DOMAIN"],
            ),
            ("\"a@b, c@d", &["-|-|MISSING_MAILBOX|MISSING_DOMAIN"]),
            ("[List] J. R. Doe <a@b>", &["[List] J. R. Doe|-|a|b"]),
            ("a.@b, .c.@d", &["-|-|a.|b", "-|-|.c.|d"]),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn lists_as_people_read_them() {
        for (value, expected) in [
            ("=?utf-8?q?J=C3=B6rg?= (x) <j@x>", "J\u{f6}rg <j@x>"),
            ("a@b (Name), <c@d>", "Name <a@b>, c@d"),
            ("G: e@f;", "G, e@f, "),
        ] {
            assert_eq!(address_text(value.as_bytes(), Names::Plain), expected);
        }
        let text = "\"Doe, \\\"J\\\"\" <j@x>, k@x";
        let plain = address_text(text.as_bytes(), Names::Plain);
        assert_eq!(plain, "Doe, \"J\" <j@x>, k@x");
        assert_eq!(address_text(text.as_bytes(), Names::Quoted), text);
    }

    #[test]
    fn the_first_of_a_list() {
        let first = |value: &str| first_address(value.as_bytes()).and_then(|a| a.mailbox);
        assert_eq!(first("x <a@b>, c@d"), Some(b"a".to_vec()));
        assert_eq!(first("G: e@f;"), Some(b"G".to_vec()));
        assert_eq!(first(" , "), None);
    }

    #[test]
    fn broken_lists_end() {
        let mut state = 3u64;
        for _ in 0..20_000 {
            let text: Vec<u8> = (0..12)
                .map(|_| {
                    state = state
                        .wrapping_mul(6364136223846793005)
                        .wrapping_add(1442695040888963407);
                    b"a@<>,;:\"()[].\\ \n"[(state >> 40) as usize % 16]
                })
                .collect();
            addresses(&text, 10_000);
        }
    }
}
