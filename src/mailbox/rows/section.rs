//! Finds what a section of a message is, in memory or in its file.

use crate::mailbox::content::Content;
use crate::mailbox::{Error, io_fault};
use crate::mime::{self, Section, SectionText};
use crate::store::Blob;
use std::io::{Read, Seek};

pub(super) fn is_whole(section: &Section) -> bool {
    section.part.is_empty() && section.text == SectionText::All
}

/// True for what needs no structure.
pub(super) fn is_own_header(section: &Section) -> bool {
    use SectionText::{Header, HeaderFields, HeaderFieldsNot};
    let header = matches!(section.text, Header | HeaderFields(_) | HeaderFieldsNot(_));
    section.part.is_empty() && header
}

pub(super) fn to_wire(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::codec::crlf::ToCrlf::default().decode(raw, &mut out);
    out
}

pub(super) fn from_memory(
    message: &[u8],
    section: &Section,
    limits: &mime::Limits,
) -> Option<Content> {
    if is_whole(section) {
        return Some(Content::memory(to_wire(message)));
    }
    let span = if is_own_header(section) {
        mime::header_bytes(message, limits)
    } else {
        mime::parse_bytes(message, limits).find(section)?
    };
    let range = usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?;
    let raw = message.get(range)?;
    Some(Content::memory(
        chosen(raw, section).unwrap_or_else(|| to_wire(raw)),
    ))
}

/// The header fields that the section chooses; `None` if it means all of the text.
pub(super) fn chosen(header: &[u8], section: &Section) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match &section.text {
        SectionText::HeaderFields(names) => mime::header_fields(header, names, false, &mut out),
        SectionText::HeaderFieldsNot(names) => mime::header_fields(header, names, true, &mut out),
        _ => return None,
    }
    Some(out)
}

/// What a section is in a file.
pub(super) enum Found {
    Nothing,
    /// Raw offsets.
    Text(u64, u64),
    /// Chosen header fields, as they go to a client.
    Fields(Vec<u8>),
}

pub(super) fn find(
    blob: &mut Blob,
    section: &Section,
    limits: &mime::Limits,
) -> Result<Found, Error> {
    let reading = io_fault("reading a message");
    if is_whole(section) {
        return Ok(Found::Text(0, blob.body.length()));
    }
    let span = if is_own_header(section) {
        Some(mime::header(&mut blob.body, limits).map_err(&reading)?)
    } else {
        mime::parse(&mut blob.body, limits)
            .map_err(&reading)?
            .find(section)
    };
    let Some(span) = span else {
        return Ok(Found::Nothing);
    };
    if matches!(
        section.text,
        SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_)
    ) {
        blob.body
            .seek(std::io::SeekFrom::Start(span.start))
            .map_err(&reading)?;
        let mut header = Vec::new();
        (&mut blob.body)
            .take(span.end - span.start)
            .read_to_end(&mut header)
            .map_err(&reading)?;
        return Ok(chosen(&header, section).map_or(Found::Nothing, Found::Fields));
    }
    Ok(Found::Text(span.start, span.end))
}
