//! APPEND (RFC 3501 section 6.3.11), of several messages (RFC 3502) and put together of parts
//! (RFC 4469): what stands between its literals, read piece by piece as it comes. REPLACE
//! (RFC 8508) is the same with a message that goes.

use super::token::{
    Given, Parsed, Syntax, astring, atom, bound, date_time, flag_list, given, space,
};
use crate::mail::{Bound, DateTime, Flags, InvalidName};
use crate::wire::reader::{Bounds, Reader};

/// The next thing that an APPEND says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A message begins.
    Message {
        flags: Flags,
        date: Option<DateTime>,
        /// It may have binary parts: a literal8 (RFC 3516 section 7), or put together of parts that may be.
        binary: bool,
    },
    /// The literal behind this text goes into the message; `utf8`: its header may hold UTF-8
    /// (RFC 6855 section 4).
    Literal { utf8: bool },
    /// What the URL names goes into the message.
    Url(Vec<u8>),
    /// The literal behind this text is such a URL.
    UrlLiteral,
}

/// Reads what stands between the literals; remembers where in the grammar it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AppendText {
    expected: Expected,
    /// There can be no second message.
    single: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// A message has to follow.
    Message,
    /// A message can follow.
    MoreMessages,
    /// A part of a message has to follow, after `(` or a space.
    Part,
    /// A further part or `)`.
    MoreParts,
    /// The `)` behind a literal that may hold UTF-8, which is a part or a message.
    Closing { part: bool },
}

/// The beginning of an APPEND.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AppendStart {
    pub(crate) tag: Vec<u8>,
    pub(crate) replaced: Option<Replaced>,
    pub(crate) mailbox: Result<Given, InvalidName>,
    pub(crate) text: AppendText,
    pub(crate) pieces: Vec<Piece>,
}

/// The message that REPLACE removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) uid: bool,
    pub(crate) number: Bound,
}

/// What a piece of text ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// A literal follows.
    Literal,
    /// The command ends.
    Command,
}

/// `append = "APPEND" SP mailbox 1*append-message` or `replace = "REPLACE" SP seq-number SP mailbox
/// append-message`, also after UID, up to the first literal or the end. `None` for anything else, and
/// where the name of the mailbox is the literal.
pub(crate) fn append_start(text: &[u8], ends: Ends, bounds: Bounds) -> Option<Parsed<AppendStart>> {
    let tag = super::framer::tag_of(text);
    let mut r = Reader::within(text.get(tag.len()..)?, bounds);
    if tag.is_empty() {
        return None;
    }
    let uid = r.eat_word(" UID");
    let replaces = !r.eat_word(" APPEND") || uid;
    if replaces && !r.eat_word(" REPLACE") || !(r.at_end() || r.peek() == Some(b' ')) {
        return None;
    }
    start(tag, replaces.then_some(uid), r, ends).transpose()
}

/// What stands behind the name of the command; `replaces` with a UID or not.
fn start(
    tag: Vec<u8>,
    replaces: Option<bool>,
    mut r: Reader<'_>,
    ends: Ends,
) -> Parsed<Option<AppendStart>> {
    let mut replaced = None;
    if let Some(uid) = replaces {
        space(&mut r)?;
        let number = bound(&mut r)?;
        replaced = Some(Replaced { uid, number });
    }
    space(&mut r)?;
    if r.at_end() && ends == Ends::Literal {
        return Ok(None);
    }
    let mailbox = given(&mut r)?;
    let mut text = AppendText {
        expected: Expected::Message,
        single: replaced.is_some(),
    };
    let pieces = text.read(r.rest(), ends)?;
    Ok(Some(AppendStart {
        tag,
        replaced,
        mailbox,
        text,
        pieces,
    }))
}

impl AppendText {
    /// What the text up to the next literal, or to the end of the command, says.
    pub(crate) fn read(&mut self, text: &[u8], ends: Ends) -> Parsed<Vec<Piece>> {
        let mut r = Reader::new(text);
        let mut pieces = Vec::new();
        loop {
            let before = pieces.len();
            match self.expected {
                Expected::MoreMessages if r.at_end() && ends == Ends::Command => return Ok(pieces),
                Expected::MoreMessages if self.single => {
                    return Err(Syntax("one message replaces another"));
                }
                Expected::Message if r.at_end() => return Err(Syntax("a message is missing")),
                Expected::Message | Expected::MoreMessages => {
                    self.message(&mut r, &mut pieces)?;
                }
                Expected::Part => self.part(&mut r, &mut pieces)?,
                Expected::Closing { part } => {
                    if !r.eat(b')') {
                        return Err(Syntax("a list does not end"));
                    }
                    self.expected = match part {
                        true => Expected::MoreParts,
                        false => Expected::MoreMessages,
                    };
                }
                Expected::MoreParts => {
                    if r.eat(b')') {
                        self.expected = Expected::MoreMessages;
                    } else {
                        space(&mut r)?;
                        self.expected = Expected::Part;
                    }
                }
            }
            let new = pieces.get(before..).unwrap_or_default();
            let literal =
                |piece: &Piece| matches!(piece, Piece::Literal { .. } | Piece::UrlLiteral);
            if new.iter().any(literal) {
                return match ends {
                    Ends::Literal if r.at_end() => Ok(pieces),
                    _ => Err(Syntax("a message is missing")),
                };
            }
        }
    }

    /// `append-message = [SP flag-list] [SP date-time] SP append-data`, where `append-data = literal /
    /// literal8 / utf8-literal / "CATENATE" SP "(" cat-part *(SP cat-part) ")"`.
    fn message(&mut self, r: &mut Reader<'_>, pieces: &mut Vec<Piece>) -> Parsed<()> {
        space(r)?;
        let mut flags = Flags::default();
        let mut date = None;
        if r.peek() == Some(b'(') {
            flags = append_flags(r)?;
            space(r)?;
        }
        if r.peek() == Some(b'"') {
            date = Some(date_time(r)?);
            space(r)?;
        }
        let catenate = r.eat_word("CATENATE (");
        let utf8 = !catenate && r.eat_word("UTF8 (~");
        let binary = catenate || utf8 || r.eat(b'~');
        pieces.push(Piece::Message {
            flags,
            date,
            binary,
        });
        if catenate {
            self.expected = Expected::Part;
        } else if r.at_end() {
            self.expected = match utf8 {
                true => Expected::Closing { part: false },
                false => Expected::MoreMessages,
            };
            pieces.push(Piece::Literal { utf8 });
        } else {
            return Err(Syntax("a message is missing"));
        }
        Ok(())
    }

    /// `cat-part = utf8-literal / "TEXT" SP (literal / literal8) / "URL" SP astring`.
    fn part(&mut self, r: &mut Reader<'_>, pieces: &mut Vec<Piece>) -> Parsed<()> {
        self.expected = Expected::MoreParts;
        let utf8 = r.eat_word("UTF8 (~");
        if utf8 {
            self.expected = Expected::Closing { part: true };
        }
        pieces.push(if utf8 || r.eat_word("TEXT ") {
            if !utf8 {
                r.eat(b'~');
            }
            if !r.at_end() {
                return Err(Syntax("TEXT takes a literal"));
            }
            Piece::Literal { utf8 }
        } else if r.eat_word("URL ") {
            if r.at_end() {
                Piece::UrlLiteral
            } else {
                Piece::Url(astring(r)?)
            }
        } else {
            return Err(Syntax("TEXT or URL is missing"));
        });
        Ok(())
    }
}

/// As a flag list, but `\Recent` and unknown system flags are left out, as clients copy what they fetched.
fn append_flags(r: &mut Reader<'_>) -> Parsed<Flags> {
    let mut ahead = r.clone();
    if let Ok(flags) = flag_list(&mut ahead) {
        *r = ahead;
        return Ok(flags);
    }
    let mut flags = Flags::default();
    r.eat(b'(');
    while !r.eat(b')') {
        let mut ahead = r.clone();
        if super::token::flag(&mut ahead, &mut flags).is_ok() {
            *r = ahead;
        } else {
            r.eat(b'\\');
            atom(r)?;
        }
        r.eat(b' ');
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts() {
        for (text, good) in [
            ("a APPEND INBOX ", true),
            (
                "a append \"x y\" (\\Seen $k) \" 7-Feb-1994 21:52:25 -0800\" ",
                true,
            ),
            ("a APPEND INBOX (\\Recent \\Seen) ", true),
            ("a APPEND INBOX CATENATE (TEXT ", true),
            ("a APPEND INBOX (\\Seen) ~", true),
            ("a APPEND INBOX CATENATE (URL x TEXT ~", true),
            ("a APPEND INBOX ~~", false),
            ("a APPEND INBOX (\\Seen) UTF8 (~", true),
            ("a APPEND INBOX UTF8 (", false),
            ("a APPEND INBOX UTF8 ~", false),
            ("a APPEND INBOX CATENATE (URL x UTF8 (~", true),
            ("a APPEND INBOX~", false),
            ("a APPEND INBOX CATENATE (URL ~", false),
            ("a APPEND INBOX (x) CATENATE (URL \"/x\" URL ", true),
            ("a APPEND INBOX CATENATE (URL", false),
            ("a REPLACE 4 Drafts (\\Seen) ", true),
            ("a uid replace * Drafts CATENATE (TEXT ", true),
            ("a REPLACE 0 Drafts ", false),
            ("a REPLACE 1:2 Drafts ", false),
            ("a UID APPEND Drafts ", false),
            ("a APPEND INBOX CATENATE (FOO ", false),
            ("a APPEND INBOX", false),
            ("a APPEND ", false),
            ("a APPEND INBOX (\\Seen ", false),
            ("a LOGIN x ", false),
            ("a APPEND {5}\r\nINBOX ", true),
        ] {
            let start = append_start(text.as_bytes(), Ends::Literal, Bounds::USUAL);
            assert_eq!(matches!(start, Some(Ok(_))), good, "{text:?}");
            let other = ["a UID APPEND Drafts ", "a APPEND ", "a LOGIN x "].contains(&text);
            assert_eq!(start.is_none(), other, "{text:?}");
        }
        let whole = |text: &str| {
            let start = append_start(text.as_bytes(), Ends::Command, Bounds::USUAL);
            start.unwrap().is_ok()
        };
        assert!(whole("a APPEND x CATENATE (URL /y URL \"/z\")"));
        assert!(whole(
            "a APPEND x CATENATE (URL /y) (\\Seen) CATENATE (URL z)"
        ));
        assert!(!whole("a APPEND x CATENATE (URL /y"));
        assert!(!whole("a APPEND x CATENATE ()"));
        assert!(!whole("a APPEND x "));
        assert!(!whole("a APPEND "));
        assert!(!whole("a APPEND"));
    }

    #[test]
    fn texts_between_literals() {
        let start = append_start(b"a APPEND x (\\Seen) ", Ends::Literal, Bounds::USUAL)
            .unwrap()
            .unwrap();
        let mut text = start.text;
        assert!(text.read(b"", Ends::Command).unwrap().is_empty());
        let pieces = text.read(b" (\\Draft) CATENATE (TEXT ", Ends::Literal);
        assert_eq!(pieces.unwrap().len(), 2);
        assert!(text.read(b"", Ends::Command).is_err(), "a part is open");
        let pieces = text
            .read(b" URL \"/a;UID=1\" TEXT ", Ends::Literal)
            .unwrap();
        let literal = Piece::Literal { utf8: false };
        assert_eq!(pieces, [Piece::Url(b"/a;UID=1".to_vec()), literal]);
        let pieces = text.read(b") ", Ends::Literal).unwrap();
        assert!(matches!(
            pieces[..],
            [Piece::Message { .. }, Piece::Literal { utf8: false }]
        ));
        assert!(text.read(b"x", Ends::Command).is_err());
        let mut text = append_start(b"a REPLACE 1 x ", Ends::Literal, Bounds::USUAL)
            .unwrap()
            .unwrap()
            .text;
        assert!(text.read(b" (\\Seen) ", Ends::Literal).is_err());
        assert!(text.read(b"", Ends::Command).is_ok());
    }

    #[test]
    fn literals_that_hold_utf8_are_in_a_list() {
        let start = append_start(b"a APPEND x UTF8 (~", Ends::Literal, Bounds::USUAL)
            .unwrap()
            .unwrap();
        let mut text = start.text;
        assert_eq!(text.read(b")", Ends::Command), Ok(Vec::new()));
        let start = append_start(b"a APPEND x UTF8 (~", Ends::Literal, Bounds::USUAL)
            .unwrap()
            .unwrap();
        let mut text = start.text;
        assert!(text.read(b"", Ends::Command).is_err());
        let start = append_start(
            b"a APPEND x CATENATE (UTF8 (~",
            Ends::Literal,
            Bounds::USUAL,
        );
        let mut text = start.unwrap().unwrap().text;
        let pieces = text.read(b") TEXT ", Ends::Literal).unwrap();
        assert_eq!(pieces, [Piece::Literal { utf8: false }]);
        assert_eq!(text.read(b")", Ends::Command), Ok(Vec::new()));
    }
}
