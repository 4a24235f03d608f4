//! Which store a user's mail is in.

use super::dbox::Dbox;
use super::maildir::Maildir;
use super::mbox::Mbox;
use super::{Error, Store};
use crate::config::{Form, Format};
use std::path::Path;

/// A handle on the mail of one user, which lies below `root` and is made if it is not there.
/// `rotate_octets`: a file of mdbox that has so many gets no more messages.
pub(crate) fn open(
    root: &Path,
    form: impl Into<Form>,
    rotate_octets: u32,
) -> Result<Box<dyn Store>, Error> {
    let Form {
        format,
        compression,
        layout,
        info_separator,
        attachments,
        inbox,
        alternate,
    } = form.into();
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
