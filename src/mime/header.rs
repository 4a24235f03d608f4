//! A header block as fields.

use memchr::memchr;

/// Fields of a raw header block, in order. Lines that are no field are left out.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// One header field (RFC 5322 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// Without the colon and blanks before it.
    pub(crate) name: &'a [u8],
    /// What follows the colon, folded as it stands, without the last line end.
    pub(crate) value: &'a [u8],
    /// All of it, line ends included.
    pub(crate) raw: &'a [u8],
}

/// The fields of `header`, which may end with the empty line.
pub(crate) fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// The raw values of the fields of that name, in order, without the last line end.
pub(crate) fn values<'a>(header: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    // No field has such a name, but lines may look as if.
    let blank = |octet: &u8| octet.is_ascii_whitespace();
    let odd = name.as_bytes().first().is_none_or(blank) || name.contains([':', '\n']);
    let mut rest = if odd { &[] } else { header };
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let text = rest;
            let line_end = memchr(b'\n', text).map_or(text.len(), |at| at + 1);
            if let Some(start) = value_start(text, name) {
                let (raw, behind) = text.split_at(field_length(text));
                rest = behind;
                return raw.get(start..).map(trim_line_end);
            }
            // A line that goes on another begins with a blank and is no field of any name.
            rest = text.get(line_end..).unwrap_or_default();
        }
    })
}

/// Where the value begins, if `text` begins with a field of that name.
fn value_start(text: &[u8], name: &str) -> Option<usize> {
    let (head, rest) = text.split_at_checked(name.len())?;
    if !head.eq_ignore_ascii_case(name.as_bytes()) {
        return None;
    }
    let blanks = rest
        .iter()
        .take_while(|b| b.is_ascii_whitespace() && **b != b'\n');
    let colon = blanks.count();
    (rest.get(colon) == Some(&b':')).then_some(name.len() + colon + 1)
}

/// The lines of `header` with their continuation lines, fields or not, line ends included.
pub(crate) fn header_lines(mut header: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (line, rest) = header.split_at(field_length(header));
        header = rest;
        (!line.is_empty()).then_some(line)
    })
}

impl Field<'_> {
    /// With no more of the value than `octets`.
    pub(crate) fn cut(self, octets: usize) -> Self {
        let value = self.value.get(..octets).unwrap_or(self.value);
        Field { value, ..self }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Length of the first field of `text` with its continuation lines, line ends included.
fn field_length(text: &[u8]) -> usize {
    let line_end = memchr(b'\n', text).map_or(text.len(), |at| at + 1);
    length_from(text, line_end)
}

/// As `field_length`, where the end of the first line is known.
fn length_from(text: &[u8], mut end: usize) -> usize {
    while matches!(text.get(end), Some(b' ' | b'\t')) {
        let line = text.get(end..).unwrap_or_default();
        end += memchr(b'\n', line).map_or(line.len(), |at| at + 1);
    }
    end
}

/// Without one line end.
fn trim_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let line_end = memchr(b'\n', self.rest).map_or(self.rest.len(), |at| at + 1);
            let (raw, rest) = self.rest.split_at(length_from(self.rest, line_end));
            self.rest = rest;
            let line = raw.get(..line_end).unwrap_or(raw);
            let Some(colon) = memchr(b':', line) else {
                continue;
            };
            let name = raw.get(..colon).unwrap_or_default().trim_ascii_end();
            let value = trim_line_end(raw.get(colon + 1..).unwrap_or_default());
            if !name.is_empty() {
                return Some(Field { name, value, raw });
            }
        }
    }
}

/// The value with its line ends taken out and blanks around it trimmed (RFC 5322 section 2.2.3).
pub(crate) fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    unfold_into(value, &mut out);
    out
}

fn unfold_into(value: &[u8], out: &mut Vec<u8>) {
    let value = value.trim_ascii();
    if memchr(b'\n', value).is_none() {
        return out.extend_from_slice(value);
    }
    for line in value.split(|&b| b == b'\n') {
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
}

/// BODY[HEADER.FIELDS] (or, with `except`, HEADER.FIELDS.NOT): the chosen fields as they stand
/// with CRLF line ends, and the empty line (RFC 3501 section 6.4.5). Appends to `out`.
pub(crate) fn header_fields<N: AsRef<[u8]>>(
    header: &[u8],
    names: &[N],
    except: bool,
    out: &mut Vec<u8>,
) {
    for field in fields(header) {
        let named = names
            .iter()
            .any(|n| n.as_ref().eq_ignore_ascii_case(field.name));
        if named != except {
            crate::codec::crlf::ToCrlf::default().decode(field.raw, out);
            if field.raw.last() != Some(&b'\n') {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// As [`header_fields`] for what that wrote: with CRLF line ends, so that nothing has to be turned into
/// them.
pub(crate) fn fields_as_they_stand<N: AsRef<[u8]>>(header: &[u8], names: &[N], out: &mut Vec<u8>) {
    for line in header_lines(header) {
        let name = memchr(b':', line).and_then(|colon| line.get(..colon));
        let name = name.unwrap_or_default().trim_ascii_end();
        let is_named = |wanted: &N| wanted.as_ref().eq_ignore_ascii_case(name);
        if !name.is_empty() && names.iter().any(is_named) {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_header() {
        let header = b"From: a\r\nSubject : folded\r\n\tvalue\nno field\nX:\r\n: nameless\n\r\n";
        let found: Vec<(String, String)> = fields(header)
            .map(|f| {
                (
                    String::from_utf8_lossy(f.name).into(),
                    String::from_utf8(unfold(f.value)).unwrap(),
                )
            })
            .collect();
        let expected = [("From", "a"), ("Subject", "folded\tvalue"), ("X", "")];
        assert_eq!(found, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert!(header_lines(header).any(|line| line == b"no field\n"));
        assert_eq!(header_lines(header).collect::<Vec<_>>().concat(), header);
    }

    #[test]
    fn values_are_those_of_the_fields() {
        let header =
            b"Subject: a\r\n b\r\nX-Subject: c\nSUBJECT \t: d\nSubjects: e\nSubject\n : f\n\
            no field\n Subject: g\nsubject:\n\r\nSubject : h";
        for name in [
            "Subject",
            "X-Subject",
            "Subjects",
            "no field",
            "",
            "Subject h",
        ] {
            let values: Vec<&[u8]> = values(header, name).collect();
            let named = fields(header).filter(|field| field.is(name));
            let expected: Vec<&[u8]> = named.map(|field| field.value).collect();
            assert_eq!(values, expected, "{name}");
        }
        assert_eq!(values(header, "subject").count(), 4);
    }

    #[test]
    fn chosen_fields_have_crlf_and_an_empty_line() {
        let mut out = Vec::new();
        header_fields(b"A: 1\nB: 2\n b\nC: 3", &["b", "c", "d"], false, &mut out);
        assert_eq!(out, b"B: 2\r\n b\r\nC: 3\r\n\r\n");
        let mut again = Vec::new();
        fields_as_they_stand(&out, &["B"], &mut again);
        assert_eq!(again, b"B: 2\r\n b\r\n\r\n");
        out.clear();
        header_fields(b"A: 1\nB: 2\n\n", &["b"], true, &mut out);
        assert_eq!(out, b"A: 1\r\n\r\n");
    }
}
