//! Parts of messages without their transfer encoding (RFC 3516 section 4.2).

use super::rows::Raw;
use super::{Content, Error, Partial, Rows};
use crate::mime::{Section, SectionText, Transfer};

impl Rows {
    /// The body of a part, decoded; of the message itself (no part numbers) all of it, as it is. `None`:
    /// there is no such part. `partial` chooses among the decoded octets. Errors: `UnknownEncoding`.
    pub(crate) fn binary(
        &mut self,
        part: &[u32],
        partial: Partial,
    ) -> Result<Option<Content>, Error> {
        if part.is_empty() {
            let all = Section {
                part: Vec::new(),
                text: SectionText::All,
            };
            return self.part(&all, partial);
        }
        let (structure, raw) = self.raw()?;
        let Some(part) = structure.descend(part) else {
            return Ok(None);
        };
        let transfer = Transfer::of(part).ok_or(Error::UnknownEncoding)?;
        let (start, end) = (part.body.start, part.body.end);
        match raw {
            Raw::Memory(bytes) => {
                let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
                let body = bytes.get(at(start)..at(end)).unwrap_or_default();
                Ok(Some(Content::decoded(body, transfer).partial(partial)))
            }
            Raw::File(file, _) => {
                let transfer = || Transfer::of(part).unwrap_or(Transfer::Identity);
                let content = Content::decoded_file(file.clone(), start, end, &transfer)?;
                Ok(Some(content.partial(partial)))
            }
        }
    }
}
