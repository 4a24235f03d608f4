//! Which store a user's mail is in.

use super::dbox::Dbox;
use super::maildir::Maildir;
use super::marks;
use super::mbox::Mbox;
use super::spread::Spread;
use super::{Error, Memory, Store};
use crate::config::{Form, Format};
use std::path::Path;
use std::sync::Arc;

/// A handle on the mail of one user, which lies below `root` and is made if it is not there; that of namespaces
/// is made when it is needed. `rotate_octets`: a file of mdbox that has so many gets no more messages.
pub(crate) fn open(
    root: &Path,
    form: impl Into<Form>,
    rotate_octets: u32,
) -> Result<Box<dyn Store>, Error> {
    open_with(root, form, rotate_octets, None)
}

/// As `open`; `memory` is asked where files are lost that say what is not known otherwise.
pub(crate) fn open_with(
    root: &Path,
    form: impl Into<Form>,
    rotate_octets: u32,
    memory: Option<Arc<dyn Memory>>,
) -> Result<Box<dyn Store>, Error> {
    let mut form = form.into();
    let namespaces = std::mem::take(&mut form.namespaces);
    let format = form.format;
    let own = open_one(root, form, rotate_octets, memory.clone())?;
    Ok(match namespaces.is_empty() {
        true => own,
        false => {
            let spread = Spread::new((own, format), namespaces, rotate_octets);
            Box::new(spread.asking(memory))
        }
    })
}

/// A handle on a backup, which is a Maildir; names of messages that come to it tell checksums. It is made if it is not
/// there.
pub(crate) fn open_backup(root: &Path) -> Result<Box<dyn Store>, Error> {
    let layout = crate::config::Layout::default();
    Ok(Box::new(Maildir::open(root, layout)?.summing()))
}

/// As `open_with`, without namespaces.
pub(super) fn open_one(
    root: &Path,
    form: Form,
    rotate_octets: u32,
    memory: Option<Arc<dyn Memory>>,
) -> Result<Box<dyn Store>, Error> {
    marks::check(root, form.format)?;
    let Form {
        format,
        compression,
        layout,
        info_separator,
        attachments,
        inbox,
        alternate,
        namespaces: _,
    } = form;
    Ok(match format {
        Format::Maildir => {
            let maildir = Maildir::open(root, layout)?.compressing(compression);
            Box::new(maildir.separating(info_separator))
        }
        Format::Sdbox => {
            let dbox = Dbox::sdbox_with(root, memory)?.compressing(compression);
            Box::new(dbox.attachments_in(attachments))
        }
        Format::Mdbox => {
            let dbox = Dbox::mdbox_with(root, alternate.as_deref(), rotate_octets, memory)?;
            let dbox = dbox.compressing(compression);
            Box::new(dbox.attachments_in(attachments))
        }
        Format::Mbox => Box::new(Mbox::open_with(root, inbox.as_deref(), memory)?),
    })
}
