//! Messages that no program would write.

use super::address::{Names, address_text, addresses, display_name};
use super::part::Span;
use super::*;
use crate::fuzz::{Random, Target, fuzz};
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use std::io::Read;

const WORDS: [&str; 40] = [
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\n\n",
    " ",
    "\t",
    ":",
    ";",
    "=",
    "\"",
    "--",
    "--b\r\n",
    "--b--\r\n",
    "--a\r\n",
    "<a@b>",
    "a@b, ",
    "a: b;",
    "(",
    ")",
    "=?utf-8?q?",
    "=?utf-8?b?",
    "?=",
    "=C3=BC",
    "w7w=",
    "Content-Type: multipart/mixed; boundary=b\r\n",
    "Content-Type: message/rfc822\r\n",
    "Content-Type: text/plain; charset=utf-8\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "Content-Disposition: attachment; filename*0*=utf-8''a\r\n",
    "name*=utf-8'en'%C3%BC",
    "From: ",
    "To: ",
    "Subject: ",
    "Date: Mon, 2 Nov 2026 10:00:00 +0000\r\n",
    "References: ",
    "Re: ",
    "[a] ",
    "\0",
];

/// A message small enough that limits are met.
const NARROW: Limits = Limits {
    header_octets: 300,
    line_octets: 60,
    addresses: 3,
    parameters: 3,
    parts: 6,
    depth: 3,
};

/// Gives bytes in pieces.
struct Pieces<'a> {
    rest: &'a [u8],
    random: &'a mut Random,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer
            .len()
            .min(self.rest.len())
            .min(1 + self.random.below(50) as usize);
        let (piece, rest) = self.rest.split_at(most);
        buffer[..most].copy_from_slice(piece);
        self.rest = rest;
        Ok(most)
    }
}

/// Octets on the wire: each bare LF is told as CRLF.
fn octets(text: &[u8]) -> u64 {
    let bare = |at: usize| text[at] == b'\n' && (at == 0 || text[at - 1] != b'\r');
    (text.len() + (0..text.len()).filter(|at| bare(*at)).count()) as u64
}

fn sound(span: Span, text: &[u8]) -> bool {
    let bytes = usize::try_from(span.start)
        .ok()
        .zip(usize::try_from(span.end).ok());
    let bytes = bytes.and_then(|(start, end)| text.get(start..end));
    bytes.is_some_and(|bytes| {
        let before = text.get(..span.start as usize).and_then(<[u8]>::last);
        // A span may begin between CR and LF.
        let split = before == Some(&b'\r') && bytes.first() == Some(&b'\n');
        octets(bytes) - u64::from(split) == span.octets
    })
}

/// The answer to FETCH as others parse it.
fn decodes(item: &str, value: &[u8]) {
    let response = [b"* 1 FETCH (", item.as_bytes(), b" ", value, b")\r\n"].concat();
    let decoded = ResponseCodec::new().decode(&response);
    let whole = decoded.as_ref().is_ok_and(|(rest, _)| rest.is_empty());
    assert!(whole, "{}", response.escape_ascii());
}

/// Parts that a part is in.
fn depth(message: &Message, at: usize) -> usize {
    let parent = |at: &usize| message.parts.get(*at)?.parent.map(|at| at as usize);
    std::iter::successors(Some(at), parent).count()
}

fn structure(input: &[u8], limits: &Limits, random: &mut Random) -> Vec<u8> {
    let message = parse_bytes(input, limits);
    let structure = bodystructure(&message);
    let mut pieces = Pieces {
        rest: input,
        random,
    };
    let read = parse(&mut pieces, limits).unwrap();
    assert_eq!(
        structure,
        bodystructure(&read),
        "split, it has another structure"
    );
    assert_eq!(message.octets(), octets(input), "octets are lost");
    for part in &message.parts {
        assert!(
            sound(part.header, input) && sound(part.body, input),
            "{part:?}"
        );
        let within = part.parent.and_then(|at| message.part(at));
        // An empty line before a delimiter line ends the header and belongs to the delimiter too.
        let inside =
            |outer: Span| outer.start <= part.header.start && part.body.end <= outer.end + 2;
        assert!(
            within.is_none_or(|outer| inside(outer.body)),
            "{part:?} is not in {within:?}"
        );
        text(part, input, random);
    }
    assert!(
        message.parts.len() <= limits.parts.max(1),
        "{} parts",
        message.parts.len()
    );
    // That parser follows eight levels.
    if (0..message.parts.len()).all(|at| depth(&message, at) < 7) {
        decodes("BODYSTRUCTURE", &structure);
        decodes("BODY", &body(&structure));
    }
    let header = message.root().map_or(0, |root| root.header.end as usize);
    let envelope = envelope(&input[..header], limits);
    decodes("ENVELOPE", &envelope);
    fields_of(&input[..header]);
    [structure, envelope].concat()
}

/// The text of a part is the same in whatever pieces it is read.
fn text(part: &Part, input: &[u8], random: &mut Random) {
    let body = &input[part.body.start as usize..part.body.end as usize];
    let Some((mut whole, mut pieces)) = Text::new(&part.content).zip(Text::new(&part.content))
    else {
        return;
    };
    let (mut expected, mut got) = (String::new(), String::new());
    whole.decode(body, true, &mut expected);
    let (a, b) = body.split_at(random.below(body.len() as u64 + 1) as usize);
    pieces.decode(a, false, &mut got);
    pieces.decode(b, true, &mut got);
    assert_eq!(expected, got, "split, it is another text");
}

/// All that is read of header fields.
fn fields_of(header: &[u8]) {
    for field in fields(header) {
        let value = field.value;
        decode_header(value);
        base_subject(value);
        sent_date(value);
        message_ids(value, &mut |_| true);
        addresses(value, 5);
        address_text(value, Names::Plain);
        address_text(value, Names::Quoted);
        display_name(value);
    }
}

#[test]
fn fuzz_messages() {
    let target = Target {
        name: "message",
        octets: 3000,
        words: &WORDS,
        seeds: Vec::new(),
    };
    fuzz(target, |input, random| {
        let wide = structure(input, &Limits::default(), random);
        let narrow = structure(input, &NARROW, random);
        let shape = |byte: &&u8| b"()N".contains(byte);
        let mut shapes: Vec<u8> = wide.iter().chain(&narrow).filter(shape).copied().collect();
        shapes.dedup();
        String::from_utf8_lossy(&shapes).into_owned()
    });
}
