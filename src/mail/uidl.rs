//! Names of messages in POP3 (UIDL), in the forms that other servers gave them.

use super::{Uid, UidValidity};
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use std::fmt::Write;

/// How the unique-id of a message is made (RFC 1939 section 7, UIDL), as Dovecot writes it:
/// `%{uid | hex(8)}%{uidvalidity | hex(8)}` (2.4) or `%08Xu%08Xv` (before). Variables: `uid` (`%u`),
/// `uidvalidity` (`%v`), `md5` (`%m`), `filename` (`%f`), `guid` (`%g`); `%%` stands for `%`. The last three also
/// in small or capital letters (`%{guid | lower}`, `%Lg`; `upper`, `U`) or as the MD5 of it in hexadecimal digits
/// (`%{filename | md5}`, `%Mf`, as tpop3d has it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UidlFormat {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Number(Number, Digits),
    Text(Text, Filter),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Md5,
    FileName,
    Guid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    None,
    Lower,
    Upper,
    Md5,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Uid,
    UidValidity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    Decimal,
    /// With zeros in front up to this many.
    Hex(usize),
}

/// What a unique-id can be made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) uid: Uid,
    pub(crate) uid_validity: UidValidity,
    /// Of the file, without flags.
    pub(crate) file_name: &'a str,
    pub(crate) guid: &'a str,
    /// As hexadecimal digits.
    pub(crate) md5: &'a str,
}

/// Digits at most; more has no 32-bit number.
const MAX_WIDTH: usize = 16;

impl UidlFormat {
    /// `None` for what is no such text, has none of the variables or could not be told to a client.
    pub(crate) fn parse(text: &str) -> Option<UidlFormat> {
        let visible = |c: char| c.is_ascii_graphic() || c == ' ';
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, percent) = rest.split_at(at);
            literal.push_str(before);
            let after = percent.get(1..)?;
            if let Some(after) = after.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let (piece, after) = match after.strip_prefix('{') {
                Some(inner) => {
                    let (variable, after) = inner.split_once('}')?;
                    (long(variable)?, after)
                }
                None => short(after)?,
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
            rest = after;
        }
        literal.push_str(rest);
        let varies = pieces.iter().any(|p| !matches!(p, Piece::Literal(_)));
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        let spaced = |p: &Piece| matches!(p, Piece::Literal(text) if text.contains(' '));
        let good = varies && text.chars().all(visible) && !pieces.iter().any(spaced);
        good.then(|| UidlFormat {
            text: text.to_owned(),
            pieces,
        })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// True if the name of the file has to be known.
    pub(crate) fn needs_name(&self) -> bool {
        let named = |p: &Piece| matches!(p, Piece::Text(Text::FileName | Text::Guid, _));
        self.pieces.iter().any(named)
    }

    /// True if the message has to be read.
    pub(crate) fn needs_md5(&self) -> bool {
        let made = |p: &Piece| matches!(p, Piece::Text(Text::Md5, _));
        self.pieces.iter().any(made)
    }

    /// Appends the unique-id of a message.
    pub(crate) fn put(&self, named: &Named<'_>, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Number(number, digits) => {
                    let number = match number {
                        Number::Uid => named.uid.number(),
                        Number::UidValidity => named.uid_validity.number(),
                    };
                    // Writing to memory cannot fail.
                    let _ = match digits {
                        Digits::Decimal => write!(out, "{number}"),
                        Digits::Hex(width) => write!(out, "{number:0width$x}"),
                    };
                }
                Piece::Text(text, filter) => {
                    let text = match text {
                        Text::Md5 => named.md5,
                        Text::FileName => named.file_name,
                        Text::Guid => named.guid,
                    };
                    match filter {
                        Filter::None => out.push_str(text),
                        Filter::Lower => out.push_str(&text.to_ascii_lowercase()),
                        Filter::Upper => out.push_str(&text.to_ascii_uppercase()),
                        Filter::Md5 => out.push_str(&HEXLOWER.encode(&Md5::digest(text))),
                    }
                }
            }
        }
    }
}

impl Default for UidlFormat {
    /// Dovecot's default.
    fn default() -> UidlFormat {
        UidlFormat {
            text: "%{uid | hex(8)}%{uidvalidity | hex(8)}".to_owned(),
            pieces: vec![
                Piece::Number(Number::Uid, Digits::Hex(8)),
                Piece::Number(Number::UidValidity, Digits::Hex(8)),
            ],
        }
    }
}

/// `uid | hex(8)` without its braces.
fn long(variable: &str) -> Option<Piece> {
    let (name, filter) = match variable.split_once('|') {
        Some((name, filter)) => (name.trim(), Some(filter.trim())),
        None => (variable.trim(), None),
    };
    if let Some(text) = text_named(name) {
        let filter = match filter {
            None => Filter::None,
            Some("lower") => Filter::Lower,
            Some("upper") => Filter::Upper,
            Some("md5") => Filter::Md5,
            Some(_) => return None,
        };
        return Some(Piece::Text(text, filter));
    }
    let digits = match filter {
        None => Digits::Decimal,
        Some("hex") => Digits::Hex(0),
        Some(filter) => {
            let width = filter.strip_prefix("hex(")?.strip_suffix(')')?;
            Digits::Hex(width.trim().parse().ok().filter(|w| *w <= MAX_WIDTH)?)
        }
    };
    match name {
        "uid" => Some(Piece::Number(Number::Uid, digits)),
        "uidvalidity" => Some(Piece::Number(Number::UidValidity, digits)),
        _ => None,
    }
}

/// By its long name or its letter.
fn text_named(name: &str) -> Option<Text> {
    match name {
        "md5" | "m" => Some(Text::Md5),
        "filename" | "f" => Some(Text::FileName),
        "guid" | "g" => Some(Text::Guid),
        _ => None,
    }
}

/// `08Xu` behind the percent sign, and what follows.
fn short(text: &str) -> Option<(Piece, &str)> {
    let filter = match text.bytes().next()? {
        b'L' => Filter::Lower,
        b'U' => Filter::Upper,
        b'M' => Filter::Md5,
        _ => Filter::None,
    };
    let behind = text.get(usize::from(filter != Filter::None)..)?;
    if let Some((name, after)) = behind.split_at_checked(1)
        && let Some(text) = text_named(name)
    {
        return Some((Piece::Text(text, filter), after));
    }
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (width, after) = text.split_at(end);
    let (hex, after) = match after.strip_prefix('X') {
        Some(after) => (true, after),
        None => (false, after),
    };
    // Zeros are put in front only if the width begins with one.
    let zeros = width.strip_prefix('0').map(|w| w.parse().unwrap_or(0));
    let digits = match (hex, width.is_empty()) {
        (true, _) => Digits::Hex(zeros.filter(|w| *w <= MAX_WIDTH).unwrap_or(0)),
        (false, true) => Digits::Decimal,
        (false, false) => return None,
    };
    let mut chars = after.chars();
    let piece = match chars.next()? {
        'u' => Piece::Number(Number::Uid, digits),
        'v' => Piece::Number(Number::UidValidity, digits),
        _ => return None,
    };
    Some((piece, chars.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(format: &str) -> Option<String> {
        let format = UidlFormat::parse(format)?;
        let mut out = String::new();
        let named = Named {
            uid: Uid::new(0x1f).unwrap(),
            uid_validity: UidValidity::new(0x5b3e_2f01).unwrap(),
            file_name: "1.a,S=3",
            guid: "G",
            md5: "d41d",
        };
        format.put(&named, &mut out);
        Some(out)
    }

    #[test]
    fn formats_of_other_servers() {
        for (format, expected) in [
            ("%08Xu%08Xv", "0000001f5b3e2f01"),
            ("%{uid | hex(8)}%{uidvalidity | hex(8)}", "0000001f5b3e2f01"),
            ("%{uid|hex}", "1f"),
            ("%Xu", "1f"),
            // Courier, Cyrus, tpop3d.
            ("UID%u-%v", "UID31-1530801921"),
            ("%v.%u", "1530801921.31"),
            ("%{uidvalidity}.%{uid}", "1530801921.31"),
            ("%f", "1.a,S=3"),
            ("%{filename}", "1.a,S=3"),
            ("%g-%m", "G-d41d"),
            ("%{guid}%{md5}", "Gd41d"),
            ("%u%%", "31%"),
            ("%Mf", "147237de04c113da428f4368445ff5f1"),
            ("%{filename | md5}", "147237de04c113da428f4368445ff5f1"),
            ("%Uf%Lg", "1.A,S=3g"),
            ("%{md5 | upper}%{guid|lower}", "D41Dg"),
        ] {
            assert_eq!(made(format).as_deref(), Some(expected), "{format}");
        }
        for wrong in [
            "",
            "x",
            "%",
            "%%",
            "%x",
            "%{uid",
            "%{uid | dec}",
            "%{user}",
            "%8u",
            "%{uid|hex(99)}",
            "%u %v",
            "%u\n",
            "%Xf",
            "%Mu",
            "%M",
            "%{uid | md5}",
            "%{guid | hex(8)}",
            "%08",
        ] {
            assert_eq!(made(wrong), None, "{wrong}");
        }
        let default = UidlFormat::default();
        assert_eq!(UidlFormat::parse(default.as_str()), Some(default));
    }
}
