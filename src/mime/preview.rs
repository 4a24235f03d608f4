//! The first words of a message, for lists of messages (RFC 8970 section 3.3).

use super::html::Html;
use super::part::{Kind, Message, Part};

/// Characters of a preview.
const MAX_CHARS: usize = 200;

impl Message {
    /// The part that a preview is made of: the first plain text that is no attachment, else the first
    /// HTML; of a message inside only if there is no other. `None`: there is no text to be shown.
    pub(crate) fn preview_part(&self) -> Option<&Part> {
        let shown = |part: &&Part| {
            let disposition = part.content.disposition.as_ref();
            let attached = disposition.is_some_and(|d| d.0.eq_ignore_ascii_case(b"attachment"));
            part.kind == Kind::Leaf && !attached
        };
        let first = |inside, subtype| {
            let parts = self.parts.iter().filter(shown);
            let mut parts = parts.filter(|part| self.is_inside_message(part) == inside);
            parts.find(|part| part.content.is("text", Some(subtype)))
        };
        let own = first(false, "plain").or_else(|| first(false, "html"));
        own.or_else(|| first(true, "plain").or_else(|| first(true, "html")))
    }

    fn is_inside_message(&self, of: &Part) -> bool {
        let part = |at: u32| self.parts.get(usize::try_from(at).ok()?);
        let above = std::iter::successors(of.parent, |at| part(*at)?.parent);
        above
            .filter_map(part)
            .any(|part| part.kind == Kind::Message)
    }
}

/// Makes a preview of decoded text, piece by piece: one line, blanks joined, without quoted lines
/// unless there is nothing else, without markup.
pub(crate) struct Preview {
    html: Option<Html>,
    own: Line,
    quoted: Line,
    /// Where in a line of plain text it stands.
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    Own,
    Quoted,
}

#[derive(Default)]
struct Line {
    text: String,
    chars: usize,
    blank: bool,
}

impl Line {
    fn is_full(&self) -> bool {
        self.chars >= MAX_CHARS
    }

    fn put(&mut self, c: char) {
        if is_filler(c) || self.is_full() {
            return;
        }
        if c.is_whitespace() || c.is_control() {
            self.blank = self.chars > 0;
            return;
        }
        if std::mem::take(&mut self.blank) {
            self.text.push(' ');
            self.chars += 1;
        }
        if !self.is_full() {
            self.text.push(c);
            self.chars += 1;
        }
    }
}

/// Characters without width, with which senders fill up what shows in lists.
fn is_filler(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'
            ..='\u{200f}' | '\u{2060}' | '\u{feff}'
    )
}

impl Preview {
    /// Of a part of that content.
    pub(crate) fn new(part: &Part) -> Preview {
        Preview {
            html: part.content.is("text", Some("html")).then(Html::default),
            own: Line::default(),
            quoted: Line::default(),
            at: At::Start,
        }
    }

    /// Adds text; `true` once it is enough.
    pub(crate) fn add(&mut self, text: &str) -> bool {
        for c in text.chars() {
            if self.own.is_full() {
                break;
            }
            match &mut self.html {
                Some(html) => html.step(c, &mut |shown| self.own.put(shown)),
                None => self.plain(c),
            }
        }
        self.own.is_full()
    }

    fn plain(&mut self, c: char) {
        self.at = match (self.at, c) {
            (At::Start, '>') => At::Quoted,
            (At::Start, '\r' | '\n') => At::Start,
            (At::Start, _) => At::Own,
            (at, _) => at,
        };
        match self.at {
            At::Quoted => self.quoted.put(c),
            _ => self.own.put(c),
        }
        if c == '\n' {
            self.at = At::Start;
        }
    }

    /// The text; empty if there is none.
    pub(crate) fn finish(mut self) -> String {
        if let Some(html) = &self.html {
            html.finish(&mut |shown| self.own.put(shown));
        }
        match self.own.text.is_empty() {
            true => self.quoted.text,
            false => self.own.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime::{Limits, Text, parse_bytes};

    fn preview(message: &str, piece: usize) -> Option<String> {
        let structure = parse_bytes(message.as_bytes(), &Limits::default());
        let part = structure.preview_part()?;
        let body = &message.as_bytes()[part.body.start as usize..part.body.end as usize];
        let (mut decoder, mut preview) = (Text::new(&part.content)?, Preview::new(part));
        for piece in body.chunks(piece) {
            let mut text = String::new();
            decoder.decode(piece, false, &mut text);
            preview.add(&text);
        }
        let mut text = String::new();
        decoder.decode(b"", true, &mut text);
        preview.add(&text);
        Some(preview.finish())
    }

    #[test]
    fn previews_of_plain_text_and_html() {
        let html = "Content-Type: text/html; charset=utf-8\n\n";
        for (message, expected) in [
            ("\n\nHello,\n\n  this is\tit.\n", "Hello, this is it."),
            ("\n> You wrote\n> that\nNo.\n>> more\n", "No."),
            ("\n> You wrote\n> that\n", "> You wrote > that"),
            (
                "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nf=FCr\n",
                "f\u{fc}r",
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment\n\nno\n--b\nContent-Type: text/html\n\n<p>html\n--b\n\nplain\n--b--\n",
                "plain",
            ),
            (
                &format!(
                    "{html}<html><head><title>T</title><style>p {{ a: b }}</style></head><body><!-- > --><p class=\"x>y\">Hi &amp; <b>bold</b>er&nbsp;&#x41;&#66;</p><script>if (a < b) {{}}</script>end &unknown; &"
                ),
                "Hi & bolder AB end &unknown; &",
            ),
            (
                &format!("{html}<div>a</div><div>b</div>c<br>d<b>e</b>"),
                "a b c de",
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\ninside\n--b\nContent-Type: text/html\n\n<p>own\n--b--\n",
                "own",
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\ninside\n--b\nContent-Type: image/png\n\nx\n--b--\n",
                "inside",
            ),
            (&format!("{html}\u{200c}\u{34f}\u{feff} x\u{ad}y"), "xy"),
            ("\n \n", ""),
        ] {
            for piece in [1, 7, 1000] {
                assert_eq!(
                    preview(message, piece).as_deref(),
                    Some(expected),
                    "{message:?}"
                );
            }
        }
        assert_eq!(preview("Content-Type: image/png\n\nx", 9), None);
    }

    #[test]
    fn previews_are_short() {
        for text in ["\u{fc}".repeat(1000), "a b ".repeat(300), "<".repeat(5000)] {
            let message = format!("Content-Type: text/plain; charset=utf-8\n\n{text}");
            let text = preview(&message, 333).unwrap();
            assert!((199..=200).contains(&text.chars().count()), "{text}");
        }
        let html = format!("Content-Type: text/html\n\n&{}", "a".repeat(900));
        assert_eq!(preview(&html, 50).unwrap().len(), 200);
    }
}
