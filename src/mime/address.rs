//! Address lists (RFC 5322 section 3.4) as ENVELOPE wants them.

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

/// Most addresses taken from one field; the rest is left out.
pub(crate) const MAX_ADDRESSES: usize = 10_000;

/// What Dovecot gives for parts that are not there, so that clients see what they know.
const MISSING_MAILBOX: &[u8] = b"MISSING_MAILBOX";
const MISSING_DOMAIN: &[u8] = b"MISSING_DOMAIN";

/// Parses an address list; broken entries are kept as far as they can be understood.
pub(crate) fn addresses(value: &[u8]) -> Vec<Address> {
    let mut cursor = Cursor::new(value);
    let mut list = Vec::new();
    let mut in_group = false;
    while list.len() < MAX_ADDRESSES {
        cursor.skip();
        match cursor.peek() {
            None => break,
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

/// One mailbox or the start of a group.
fn one(cursor: &mut Cursor<'_>, list: &mut Vec<Address>, in_group: &mut bool) {
    let mut comment = None;
    let phrase = phrase(cursor, &mut comment);
    match cursor.peek() {
        Some(b'<') => {
            let mut address = angle(cursor);
            cursor.skip_cfws(&mut comment);
            address.name = if phrase.is_empty() {
                comment
            } else {
                Some(phrase)
            };
            list.push(address);
            cursor.until(b",;");
        }
        Some(b':') if !phrase.is_empty() && !*in_group => {
            cursor.bump();
            *in_group = true;
            list.push(Address {
                mailbox: Some(phrase),
                ..Address::default()
            });
        }
        Some(b'@') => {
            cursor.bump();
            let domain = domain(cursor, &mut comment);
            let mailbox = if phrase.is_empty() {
                MISSING_MAILBOX.to_vec()
            } else {
                phrase
            };
            cursor.skip_cfws(&mut comment);
            list.push(Address {
                name: comment,
                route: None,
                mailbox: Some(mailbox),
                domain: or_missing(domain),
            });
            if !matches!(cursor.peek(), None | Some(b',' | b';')) {
                cursor.until(b",;");
            }
        }
        _ => {
            if !phrase.is_empty() {
                list.push(Address {
                    name: comment,
                    route: None,
                    mailbox: Some(phrase),
                    domain: Some(MISSING_DOMAIN.to_vec()),
                });
            }
            if !matches!(cursor.peek(), None | Some(b',' | b';')) {
                cursor.bump();
            }
        }
    }
}

fn or_missing(domain: Vec<u8>) -> Option<Vec<u8>> {
    Some(if domain.is_empty() {
        MISSING_DOMAIN.to_vec()
    } else {
        domain
    })
}

/// Words and dots up to a special character, joined by single blanks where blanks stood.
fn phrase(cursor: &mut Cursor<'_>, comment: &mut Option<Vec<u8>>) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut blank = false;
    loop {
        let word = match cursor.peek() {
            Some(b'"') => cursor.quoted().unwrap_or_default(),
            Some(b'.') => {
                cursor.bump();
                b".".to_vec()
            }
            Some(b'[' | b']' | b'\\') => vec![cursor.bump().unwrap_or_default()],
            _ => cursor.atom().to_vec(),
        };
        if word.is_empty() && !matches!(cursor.peek(), Some(b' ' | b'\t' | b'\r' | b'\n' | b'(')) {
            let special = matches!(
                cursor.peek(),
                None | Some(b'<' | b'>' | b'@' | b',' | b';' | b':' | b')')
            );
            if special || cursor.bump().is_none() {
                return out;
            }
            continue;
        }
        if blank && !out.is_empty() && !word.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(&word);
        let before = cursor.peek();
        cursor.skip_cfws(comment);
        blank = matches!(before, Some(b' ' | b'\t' | b'\r' | b'\n' | b'('));
    }
}

/// `<route:mailbox@domain>`.
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
    let mailbox = phrase(cursor, &mut comment);
    let domain = if cursor.eat(b'@') {
        domain(cursor, &mut comment)
    } else {
        Vec::new()
    };
    if !cursor.eat(b'>') {
        cursor.until(b">,");
        cursor.eat(b'>');
    }
    let empty = mailbox.is_empty() && domain.is_empty();
    Address {
        name: None,
        route,
        mailbox: Some(if mailbox.is_empty() {
            MISSING_MAILBOX.to_vec()
        } else {
            mailbox
        }),
        domain: if empty {
            Some(MISSING_DOMAIN.to_vec())
        } else {
            or_missing(domain)
        },
    }
}

/// A dot-atom with blanks and comments taken out, or a domain literal.
fn domain(cursor: &mut Cursor<'_>, comment: &mut Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    cursor.skip_cfws(comment);
    if let Some(literal) = cursor.domain_literal() {
        return literal;
    }
    loop {
        out.extend_from_slice(cursor.atom());
        let mut dots = false;
        loop {
            cursor.skip_cfws(comment);
            if !cursor.eat(b'.') {
                break;
            }
            dots = true;
            out.push(b'.');
        }
        if !dots {
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Vec<String> {
        let text = |part: Option<Vec<u8>>| {
            part.map_or("-".to_owned(), |p| String::from_utf8_lossy(&p).into_owned())
        };
        addresses(value.as_bytes())
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
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
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
            addresses(&text);
        }
    }
}
