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
    let mut end = 0;
    while let Some(at) = memchr(b'\n', text.get(end..).unwrap_or_default()) {
        end += at + 1;
        if !matches!(text.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
    text.len()
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
            let (raw, rest) = self.rest.split_at(field_length(self.rest));
            self.rest = rest;
            let line = memchr(b'\n', raw).map_or(raw, |at| raw.get(..at).unwrap_or(raw));
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
    fn chosen_fields_have_crlf_and_an_empty_line() {
        let mut out = Vec::new();
        header_fields(b"A: 1\nB: 2\n b\nC: 3", &["b", "c", "d"], false, &mut out);
        assert_eq!(out, b"B: 2\r\n b\r\nC: 3\r\n\r\n");
        out.clear();
        header_fields(b"A: 1\nB: 2\n\n", &["b"], true, &mut out);
        assert_eq!(out, b"A: 1\r\n\r\n");
    }
}
