//! SEARCH keys (RFC 3501 section 6.4.4).

use super::fetch::MAX_NUMBER64;
use super::modseq::search_mod_seq;
use super::sort::algorithm;
use super::token::{Parsed, Syntax, astring, atom, date, sequence_set, space};
use crate::mail::{Criteria, DateField, HeaderField, Keyword, ObjectId, SystemFlags};
use crate::mime::from_charset;
use crate::wire::reader::Reader;

/// What follows SEARCH.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Searched {
    Criteria(Criteria),
    /// A charset nobody knows, or text that is not of it.
    BadCharset,
}

struct Keys<'c> {
    charset: &'c str,
    count: usize,
    bad_charset: bool,
}

/// `search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)`, to the end of the
/// command.
pub(crate) fn search(r: &mut Reader<'_>) -> Parsed<Searched> {
    let mut charset = "UTF-8".to_owned();
    if r.eat_word("CHARSET ") {
        if !r.bounds().charset {
            return Err(Syntax("CHARSET does not go with UTF8=ACCEPT"));
        }
        charset = charset_name(r)?;
        space(r)?;
    }
    keys(r, &charset)
}

/// `search-criteria = charset 1*(SP search-key)` (RFC 5256 section 5), to the end of the command.
pub(super) fn search_criteria(r: &mut Reader<'_>) -> Parsed<Searched> {
    let charset = charset_name(r)?;
    space(r)?;
    keys(r, &charset)
}

fn charset_name(r: &mut Reader<'_>) -> Parsed<String> {
    String::from_utf8(astring(r)?).map_err(|_| Syntax("a charset is not valid"))
}

fn keys(r: &mut Reader<'_>, charset: &str) -> Parsed<Searched> {
    let mut keys = Keys {
        charset,
        count: 0,
        bad_charset: from_charset(charset, b"").is_none(),
    };
    let criteria = keys.list(r, 0)?;
    if !r.at_end() {
        return Err(Syntax("too many arguments"));
    }
    Ok(if keys.bad_charset {
        Searched::BadCharset
    } else {
        Searched::Criteria(criteria)
    })
}

impl Searched {
    /// `None`: a charset nobody knows.
    pub(super) fn criteria(self) -> Option<Criteria> {
        match self {
            Searched::Criteria(criteria) => Some(criteria),
            Searched::BadCharset => None,
        }
    }
}

impl Keys<'_> {
    /// Keys with spaces between them: all must hold.
    fn list(&mut self, r: &mut Reader<'_>, depth: usize) -> Parsed<Criteria> {
        let mut all = vec![self.key(r, depth)?];
        while r.eat(b' ') {
            all.push(self.key(r, depth)?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Criteria::And(all)
        })
    }

    fn text(&mut self, r: &mut Reader<'_>) -> Parsed<String> {
        space(r)?;
        let bytes = astring(r)?;
        match from_charset(self.charset, &bytes) {
            Some(text) => Ok(text),
            None => {
                self.bad_charset = true;
                Ok(String::new())
            }
        }
    }

    fn header(&mut self, r: &mut Reader<'_>, name: &str) -> Parsed<Criteria> {
        Ok(Criteria::Header(
            HeaderField(name.to_owned()),
            self.text(r)?,
        ))
    }

    fn address(&mut self, r: &mut Reader<'_>, name: &str) -> Parsed<Criteria> {
        Ok(Criteria::Address(
            HeaderField(name.to_owned()),
            self.text(r)?,
        ))
    }

    fn key(&mut self, r: &mut Reader<'_>, depth: usize) -> Parsed<Criteria> {
        self.count += 1;
        let bounds = r.bounds();
        if depth > bounds.search_depth || self.count > bounds.search_keys {
            return Err(Syntax("[LIMIT] Too many search keys, or too deep"));
        }
        if r.eat(b'(') {
            let inner = self.list(r, depth + 1)?;
            return if r.eat(b')') {
                Ok(inner)
            } else {
                Err(Syntax("a list of search keys does not end"))
            };
        }
        if r.peek()
            .is_some_and(|b| b.is_ascii_digit() || b == b'*' || b == b'$')
        {
            return Ok(Criteria::Seq(sequence_set(r)?));
        }
        let name = atom(r)?.to_ascii_uppercase();
        self.named(r, &name, depth)
    }

    fn named(&mut self, r: &mut Reader<'_>, name: &str, depth: usize) -> Parsed<Criteria> {
        let not = |criteria| Criteria::Not(Box::new(criteria));
        let flag = Criteria::Flag;
        let dated =
            |r: &mut Reader<'_>, make: fn(DateField, crate::mail::Date) -> Criteria, field| {
                space(r)?;
                Ok(make(field, date(r)?))
            };
        Ok(match name {
            "ALL" => Criteria::All,
            "ANSWERED" => flag(SystemFlags::ANSWERED),
            "DELETED" => flag(SystemFlags::DELETED),
            "DRAFT" => flag(SystemFlags::DRAFT),
            "FLAGGED" => flag(SystemFlags::FLAGGED),
            "SEEN" => flag(SystemFlags::SEEN),
            "UNANSWERED" => not(flag(SystemFlags::ANSWERED)),
            "UNDELETED" => not(flag(SystemFlags::DELETED)),
            "UNDRAFT" => not(flag(SystemFlags::DRAFT)),
            "UNFLAGGED" => not(flag(SystemFlags::FLAGGED)),
            "UNSEEN" => not(flag(SystemFlags::SEEN)),
            "RECENT" => Criteria::Recent,
            "OLD" => not(Criteria::Recent),
            "NEW" => Criteria::And(vec![Criteria::Recent, not(flag(SystemFlags::SEEN))]),
            "KEYWORD" => keyword(r)?,
            "UNKEYWORD" => not(keyword(r)?),
            "BEFORE" => return dated(r, Criteria::Before, DateField::Internal),
            "ON" => return dated(r, Criteria::On, DateField::Internal),
            "SINCE" => return dated(r, Criteria::Since, DateField::Internal),
            "SENTBEFORE" => return dated(r, Criteria::Before, DateField::Sent),
            "SENTON" => return dated(r, Criteria::On, DateField::Sent),
            "SENTSINCE" => return dated(r, Criteria::Since, DateField::Sent),
            "SAVEDBEFORE" => return dated(r, Criteria::Before, DateField::Saved),
            "SAVEDON" => return dated(r, Criteria::On, DateField::Saved),
            "SAVEDSINCE" => return dated(r, Criteria::Since, DateField::Saved),
            // RFC 8514 section 4.3: every message here has a save date.
            "SAVEDATESUPPORTED" => Criteria::All,
            "EMAILID" => Criteria::EmailId(object_id(r)?),
            "THREADID" => Criteria::ThreadId(object_id(r)?),
            "OLDER" => Criteria::Older(interval(r)?),
            "YOUNGER" => Criteria::Younger(interval(r)?),
            "LARGER" => Criteria::Larger(number(r)?),
            "SMALLER" => Criteria::Smaller(number(r)?),
            "BCC" => self.address(r, "Bcc")?,
            "CC" => self.address(r, "Cc")?,
            "FROM" => self.address(r, "From")?,
            "SUBJECT" => self.header(r, "Subject")?,
            "TO" => self.address(r, "To")?,
            "HEADER" => {
                space(r)?;
                let name = String::from_utf8(astring(r)?)
                    .map_err(|_| Syntax("a header field name is not valid"))?;
                self.header(r, &name)?
            }
            "MODSEQ" => Criteria::ModSeq(search_mod_seq(r)?),
            "BODY" => Criteria::Body(self.text(r)?),
            "TEXT" => Criteria::Text(self.text(r)?),
            "UID" => {
                space(r)?;
                Criteria::Uid(sequence_set(r)?)
            }
            "NOT" => {
                space(r)?;
                not(self.key(r, depth + 1)?)
            }
            "INTHREAD" => {
                space(r)?;
                let by = algorithm(r)?;
                space(r)?;
                Criteria::InThread(by, Box::new(self.key(r, depth + 1)?))
            }
            "OR" => {
                space(r)?;
                let first = self.key(r, depth + 1)?;
                space(r)?;
                Criteria::Or(Box::new(first), Box::new(self.key(r, depth + 1)?))
            }
            _ => return Err(Syntax("no such search key")),
        })
    }
}

fn keyword(r: &mut Reader<'_>) -> Parsed<Criteria> {
    space(r)?;
    Keyword::new(atom(r)?)
        .map(Criteria::Keyword)
        .ok_or(Syntax("a keyword is not valid"))
}

/// `objectid = 1*255(ALPHA / DIGIT / "_" / "-")` (RFC 8474 section 7). `None` for what this server calls
/// nothing.
fn object_id(r: &mut Reader<'_>) -> Parsed<Option<ObjectId>> {
    space(r)?;
    let text = r.take_while(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if text.is_empty() || text.len() > 255 {
        return Err(Syntax("an object identifier is missing or too long"));
    }
    Ok(std::str::from_utf8(text).ok().and_then(ObjectId::parse))
}

/// `interval = nz-number` (RFC 5032 section 3).
fn interval(r: &mut Reader<'_>) -> Parsed<u32> {
    let seconds = u32::try_from(number(r)?).unwrap_or(0);
    match seconds {
        0 => Err(Syntax("an interval is at least one second")),
        seconds => Ok(seconds),
    }
}

/// `number64` (RFC 9051 section 9).
fn number(r: &mut Reader<'_>) -> Parsed<u64> {
    space(r)?;
    r.number(MAX_NUMBER64).ok_or(Syntax("a number is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_understood() {
        let parse = |t: &[u8]| search(&mut Reader::new(t));
        for (text, shown) in [
            ("ALL", "All"),
            (
                "1:* UNSEEN",
                "And([Seq(SequenceSet([(Number(1), Star)])), Not(Flag(SystemFlags(8)))])",
            ),
            ("(FROM x)", "Address(HeaderField(\"From\"), \"x\")"),
            (
                "NOT ON 1-Feb-1994",
                "Not(On(Internal, Date { year: 1994, month: 2, day: 1 }))",
            ),
            ("YOUNGER 60 OLDER 1", "And([Younger(60), Older(1)])"),
            (
                "NOT SAVEDON 1-Feb-1994",
                "Not(On(Saved, Date { year: 1994, month: 2, day: 1 }))",
            ),
            ("SAVEDATESUPPORTED", "All"),
            ("EMAILID x_-9", "EmailId(None)"),
            ("UID $", "Uid(SequenceSet([(Saved, Saved)]))"),
            ("NOT $", "Not(Seq(SequenceSet([(Saved, Saved)])))"),
            ("OR BODY a TEXT \"\"", "Or(Body(\"a\"), Text(\"\"))"),
            (
                "CHARSET ISO-8859-1 SUBJECT {1+}\r\n\u{7f}",
                "Header(HeaderField(\"Subject\"), \"\\u{7f}\")",
            ),
        ] {
            match parse(text.as_bytes()) {
                Ok(Searched::Criteria(criteria)) => assert_eq!(format!("{criteria:?}"), shown),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(parse(b"CHARSET klingon ALL"), Ok(Searched::BadCharset));
        assert_eq!(parse(b"SUBJECT \"\xfc\""), Ok(Searched::BadCharset));
        for bad in [
            "",
            "FOO",
            "NOT",
            "OR ALL",
            "(ALL",
            "ALL)",
            "BEFORE 31-Feb-2000",
            "UID",
            "LARGER x",
            "OLDER 0",
            "SAVEDSINCE",
            "EMAILID",
            "EMAILID \"x\"",
            "THREADID a.b",
            "1,$",
            "ALL ",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let deep = "(".repeat(100_000);
        assert!(parse(deep.as_bytes()).is_err());
        let nots = "NOT ".repeat(100_000);
        assert!(parse(nots.as_bytes()).is_err());
    }
}
