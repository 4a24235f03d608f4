//! The items of a FETCH response (RFC 3501 section 7.4.2).

use super::fetch::Fetch;
use crate::mailbox::{Content, Error, Partial, View, Want, put_literal};
use crate::mime::{Section, SectionText};
use crate::protocol::Output;
use crate::wire::imap::{
    FetchItem, PreviewForm, PreviewItem, SectionItem, date_time, flag_list, number, string,
};

/// What the rows have to bring for these items.
pub(super) fn want(items: &[FetchItem]) -> Want {
    let mut want = Want::default();
    for item in items {
        match item {
            FetchItem::Uid | FetchItem::Flags | FetchItem::ModSeq => {}
            FetchItem::EmailId | FetchItem::SaveDate | FetchItem::Preview(_) => {}
            FetchItem::ThreadId => want.header_fields = true,
            FetchItem::InternalDate => want.internal_date = true,
            FetchItem::Octets => want.octets = true,
            FetchItem::Envelope => want.envelope = true,
            FetchItem::Body | FetchItem::BodyStructure => want.bodystructure = true,
            FetchItem::Section(section) if from_fields(section).is_some() => {
                want.header_fields = true;
            }
            FetchItem::Section(section) => {
                want.body = true;
                want.whole |= section.section == Section::default();
            }
            FetchItem::Binary(_) | FetchItem::BinarySize(_) => want.body = true,
        }
    }
    want
}

/// Names of header fields that the index may know, if that is what the section is.
fn from_fields(item: &SectionItem) -> Option<&[String]> {
    match &item.section.text {
        SectionText::HeaderFields(names) if item.section.part.is_empty() => Some(names),
        _ => None,
    }
}

impl Fetch {
    pub(super) fn flags(&self, view: &View, out: &mut Output) {
        out.put(b"FLAGS ");
        flag_list(
            self.rows.flags(),
            self.rows.recent() && !self.enabled.rev2,
            self.rows.keywords(),
            view.keywords(),
            out.buffer(),
        );
    }

    pub(super) fn mod_seq(&self, out: &mut Output) {
        out.put(b"MODSEQ (");
        number(self.rows.mod_seq().number(), out.buffer());
        out.put(b")");
    }

    /// One item; `Some` if its literal is to follow.
    pub(super) fn item(
        &mut self,
        item: &FetchItem,
        view: &View,
        out: &mut Output,
    ) -> Result<Option<Content>, Error> {
        match item {
            FetchItem::Uid => {
                out.put(b"UID ");
                number(u64::from(self.rows.uid().number()), out.buffer());
            }
            FetchItem::Flags => self.flags(view, out),
            FetchItem::ModSeq => self.mod_seq(out),
            FetchItem::InternalDate => {
                let date = self.rows.internal_date()?;
                out.put(b"INTERNALDATE ");
                date_time(date, out.buffer());
            }
            FetchItem::EmailId => {
                let id = self.rows.email_id()?;
                out.put(format!("EMAILID ({id})").as_bytes());
            }
            FetchItem::ThreadId => {
                let id = self.rows.thread_id()?;
                out.put(format!("THREADID ({id})").as_bytes());
            }
            FetchItem::SaveDate => {
                let date = self.rows.save_date()?;
                out.put(b"SAVEDATE ");
                date_time(date, out.buffer());
            }
            FetchItem::Preview(wanted) => self.preview(*wanted, out)?,
            FetchItem::Octets => {
                let octets = self.rows.octets()?;
                out.put(b"RFC822.SIZE ");
                number(octets, out.buffer());
            }
            FetchItem::Envelope => {
                let envelope = self.rows.envelope()?;
                out.put(b"ENVELOPE ");
                out.put(envelope);
            }
            FetchItem::BodyStructure => {
                let structure = self.rows.bodystructure()?;
                out.put(b"BODYSTRUCTURE ");
                out.put(structure);
            }
            FetchItem::Body => {
                let body = crate::mime::body(self.rows.bodystructure()?);
                out.put(b"BODY ");
                out.put(&body);
            }
            FetchItem::Section(section) => return self.section(section, out),
            FetchItem::Binary(section) => return self.binary(section, out),
            FetchItem::BinarySize(section) => {
                let content = self.rows.binary(&section.section.part, Partial::ALL)?;
                out.put(section.label.as_bytes());
                out.put(b" ");
                number(
                    content.map_or(0, |content| content.remaining()),
                    out.buffer(),
                );
            }
        }
        Ok(None)
    }

    fn preview(&mut self, wanted: PreviewItem, out: &mut Output) -> Result<(), Error> {
        let text = self.rows.preview(wanted.lazy)?;
        let (start, end) = match wanted.form {
            PreviewForm::Plain => ("PREVIEW ", ""),
            PreviewForm::Fuzzy => ("PREVIEW (FUZZY ", ")"),
            PreviewForm::Snippet => ("SNIPPET (FUZZY ", ")"),
        };
        out.put(start.as_bytes());
        match text {
            Some(text) => string(text.as_bytes(), out.buffer()),
            None => out.put(b"NIL"),
        }
        out.put(end.as_bytes());
        Ok(())
    }

    fn binary(&mut self, item: &SectionItem, out: &mut Output) -> Result<Option<Content>, Error> {
        let part = &item.section.part;
        let Some(content) = self.rows.binary(part, chosen(item))? else {
            out.put(item.label.as_bytes());
            out.put(b" NIL");
            return Ok(None);
        };
        let literal = if content.has_nul() { " ~{" } else { " {" };
        announce_as(literal, item, content.remaining(), out);
        Ok(Some(content))
    }

    fn section(&mut self, item: &SectionItem, out: &mut Output) -> Result<Option<Content>, Error> {
        if let Some(names) = from_fields(item)
            && let Some(fields) = self.rows.known_fields(names)?
        {
            let fields = match item.partial {
                None => fields,
                Some((start, count)) => {
                    let start = usize::try_from(start).unwrap_or(usize::MAX);
                    let rest = fields.get(start..).unwrap_or_default();
                    let count = usize::try_from(count).unwrap_or(usize::MAX);
                    rest.get(..count).unwrap_or(rest)
                }
            };
            announce(item, fields.len() as u64, out);
            put_literal(fields, out.buffer());
            return Ok(None);
        }
        let Some(content) = self.rows.part(&item.section, chosen(item))? else {
            out.put(item.label.as_bytes());
            out.put(b" NIL");
            return Ok(None);
        };
        announce(item, content.remaining(), out);
        Ok(Some(content))
    }
}

/// The octets that are wanted of a section.
fn chosen(item: &SectionItem) -> Partial {
    item.partial
        .map_or(Partial::ALL, |(start, count)| Partial { start, count })
}

fn announce(item: &SectionItem, octets: u64, out: &mut Output) {
    announce_as(" {", item, octets, out);
}

fn announce_as(literal: &str, item: &SectionItem, octets: u64, out: &mut Output) {
    out.put(item.label.as_bytes());
    if let Some((start, _)) = item.partial {
        out.put(b"<");
        number(start, out.buffer());
        out.put(b">");
    }
    out.put(literal.as_bytes());
    number(octets, out.buffer());
    out.put(b"}\r\n");
}
