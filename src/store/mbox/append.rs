//! What is written at the end of the file when a message comes.

use super::draft::MboxDraft;
use super::field::Block;
use super::from;
use super::state::State;
use super::walk::Span;
use crate::store::side::disk;
use crate::store::{Error, Filing};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

impl State {
    /// Appends a message to the file, not durably. Returns where it is. Errors: of the file, which is as long as before
    /// then.
    pub(super) fn append(
        &mut self,
        file: &File,
        draft: &mut MboxDraft,
        new: &Filing,
    ) -> Result<Span, Error> {
        let size = file.metadata()?.len();
        let crlf = is_crlf(file)?;
        let wanted = self.wanted_base();
        let base = (size == 0).then_some(&wanted);
        let mut keywords = self.named(new.letters);
        // What comes by a MOVE is known before it is here.
        keywords.extend(self.named_beyond(new.uid));
        let octets = draft.body_octets(crlf)?;
        let fields = Block {
            base,
            uid: new.uid.number(),
            flags: new.flags,
            old: false,
            keywords: &keywords,
            body_octets: octets,
        };
        let mut lines = from::line(draft.sender.as_deref(), draft.received);
        lines.push_str(&fields.encode());
        let before = missing_line_ends(file, size, crlf)?;
        let start = size + before.len() as u64;
        let line_end = if crlf { "\r\n" } else { "\n" };
        let written = disk::write_at(file, before.as_bytes(), size)
            .and_then(|()| draft.copy_to(file, start, &lines, crlf))
            .and_then(|end| disk::write_at(file, line_end.as_bytes(), end).map(|()| end));
        let end = match written {
            Ok(end) => end,
            Err(error) => {
                // What stays is found to be no message.
                let _ = disk::set_length(file, size);
                self.note_own(file)?;
                return Err(error.into());
            }
        };
        if size == 0
            && let Some(layout) = &mut self.layout
        {
            layout.base = Some(wanted);
        }
        self.note_own(file)?;
        self.appended = true;
        Ok(Span {
            start,
            body: end - octets.unwrap_or(0),
            end,
            next: end + line_end.len() as u64,
        })
    }
}

/// Whether lines of a file end with CRLF.
fn is_crlf(file: &File) -> io::Result<bool> {
    let mut line = [0; from::MAX_LINE];
    let count = file.read_at(&mut line, 0)?;
    let line = line.get(..count).unwrap_or_default();
    let end = memchr::memchr(b'\n', line);
    Ok(end.is_some_and(|end| line.get(..end).is_some_and(|line| line.ends_with(b"\r"))))
}

/// Line ends that are to come before a message.
fn missing_line_ends(file: &File, size: u64, crlf: bool) -> io::Result<&'static str> {
    let mut tail = [b'\n'; 4];
    let count = usize::try_from(size.min(4)).unwrap_or(4);
    let read = tail.get_mut(4 - count..).unwrap_or_default();
    file.read_exact_at(read, size - size.min(4))?;
    let ends = match tail {
        _ if size == 0 => 2,
        [.., b'\n', b'\n'] | [_, b'\n', b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    Ok(match (ends, crlf) {
        (2, _) => "",
        (1, false) => "\n",
        (1, true) => "\r\n",
        (_, false) => "\n\n",
        (_, true) => "\r\n\r\n",
    })
}
