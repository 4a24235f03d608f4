//! Which store a user's mail is in.

use super::dbox::Dbox;
use super::maildir::Maildir;
use super::marks;
use super::mbox::Mbox;
use super::spread::Spread;
use super::{Error, Store};
use crate::config::{Form, Format};
use std::path::Path;

/// A handle on the mail of one user, which lies below `root` and is made if it is not there; that of namespaces
/// is made when it is needed. `rotate_octets`: a file of mdbox that has so many gets no more messages.
pub(crate) fn open(
    root: &Path,
    form: impl Into<Form>,
    rotate_octets: u32,
) -> Result<Box<dyn Store>, Error> {
    let mut form = form.into();
    let namespaces = std::mem::take(&mut form.namespaces);
    let format = form.format;
    let own = open_one(root, form, rotate_octets)?;
    Ok(match namespaces.is_empty() {
        true => own,
        false => Box::new(Spread::new((own, format), namespaces, rotate_octets)),
    })
}

/// As `open`, without namespaces.
pub(super) fn open_one(
    root: &Path,
    form: Form,
    rotate_octets: u32,
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
            let dbox = Dbox::sdbox(root)?.compressing(compression);
            Box::new(dbox.attachments_in(attachments))
        }
        Format::Mdbox => {
            let dbox =
                Dbox::mdbox(root, alternate.as_deref(), rotate_octets)?.compressing(compression);
            Box::new(dbox.attachments_in(attachments))
        }
        Format::Mbox => Box::new(Mbox::open(root, inbox.as_deref())?),
    })
}
