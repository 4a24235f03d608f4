//! A message on its way into the mailboxes of its recipients.

use super::trace::{Envelope, Stamp};
use crate::config::DeliveryAddress;
use crate::mail::{Flags, MailboxName};
use crate::mailbox::{Account, Draft, Error};

/// How it went for one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The message survives a power cut.
    Delivered,
    /// No room on the disk.
    Full,
    TooLarge,
    /// It has NUL where it does not say that it is binary.
    Unconvertible,
    /// Too many deliveries to the user at once.
    Busy,
    /// Something else is wrong; the sender should try again.
    Unavailable,
}

impl Outcome {
    const ALL: [Outcome; 6] = [
        Outcome::Delivered,
        Outcome::Full,
        Outcome::TooLarge,
        Outcome::Unconvertible,
        Outcome::Busy,
        Outcome::Unavailable,
    ];

    /// For the way between two processes.
    pub(crate) fn byte(self) -> u8 {
        let at = Self::ALL.iter().position(|other| *other == self);
        at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
    }

    /// What nobody sends counts as trouble.
    pub(crate) fn from_byte(byte: u8) -> Outcome {
        let found = Self::ALL.get(usize::from(byte)).copied();
        found.unwrap_or(Outcome::Unavailable)
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Outcome {
        match error {
            Error::Full => Outcome::Full,
            Error::TooLarge => Outcome::TooLarge,
            Error::UnknownEncoding => Outcome::Unconvertible,
            _ => Outcome::Unavailable,
        }
    }
}

/// Where a message goes.
pub(crate) struct Recipient {
    /// Errors: why it gets nothing; logged.
    pub(crate) account: Result<Account, Outcome>,
    /// The address as the sender wrote it.
    pub(crate) address: Vec<u8>,
    /// Subaddress (RFC 5233 section 4): the mailbox to deliver to if there is one of that name.
    pub(crate) detail: Option<String>,
}

/// A message that is being written for each of its recipients. Blocks on the disk.
pub(crate) struct Delivery {
    copies: Vec<(Recipient, Result<Draft, Outcome>)>,
}

impl Delivery {
    /// `named`: which address the fields in front of the message tell.
    pub(crate) fn new(
        recipients: Vec<Recipient>,
        envelope: &Envelope,
        named: DeliveryAddress,
        stamp: Stamp<'_>,
    ) -> Delivery {
        let begin = |(at, recipient): (usize, Recipient)| {
            let fields = envelope.fields((&recipient.address, at), named, stamp);
            let draft = stage(&recipient, &fields, envelope.binary);
            (recipient, draft)
        };
        Delivery {
            copies: recipients.into_iter().enumerate().map(begin).collect(),
        }
    }

    /// More of the message, split anywhere. A recipient whose copy cannot be written is left out.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for (_, draft) in &mut self.copies {
            if let Ok(writing) = draft
                && let Err(error) = writing.write(bytes)
            {
                *draft = Err(error.into());
            }
        }
    }

    /// Files every copy; one outcome a recipient, in their order.
    pub(crate) fn finish(self) -> Vec<Outcome> {
        let filed = |(recipient, draft): (Recipient, Result<Draft, Outcome>)| {
            let outcome = draft.and_then(|mut draft| file(&recipient, &mut draft));
            outcome.err().unwrap_or(Outcome::Delivered)
        };
        self.copies.into_iter().map(filed).collect()
    }
}

fn stage(recipient: &Recipient, fields: &[u8], binary: bool) -> Result<Draft, Outcome> {
    let account = recipient.account.as_ref().map_err(|outcome| *outcome)?;
    let mut draft = account.draft();
    draft.trace(fields)?;
    if binary {
        // Mailboxes hold lines.
        draft.take_binary();
    }
    Ok(draft)
}

fn file(recipient: &Recipient, draft: &mut Draft) -> Result<(), Outcome> {
    let account = recipient.account.as_ref().map_err(|outcome| *outcome)?;
    let named = recipient.detail.as_deref().map(MailboxName::new);
    if let Some(Ok(name)) = named
        && account.exists(&name)?
    {
        match account.append(&name, draft, &Flags::default(), None) {
            // It went meanwhile.
            Err(Error::NoSuchMailbox) => {}
            filed => return Ok(filed.map(|_| ())?),
        }
    }
    account.append(&MailboxName::inbox(), draft, &Flags::default(), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::mailbox::{Access, Want};
    use crate::mime::Section;

    fn begin(recipients: Vec<Recipient>, envelope: &Envelope) -> Delivery {
        let stamp = Stamp {
            hostname: "host",
            id: "1",
            now: 0,
        };
        Delivery::new(recipients, envelope, DeliveryAddress::Final, stamp)
    }

    fn deliver(recipients: Vec<Recipient>, text: &[u8]) -> Vec<Outcome> {
        let envelope = Envelope {
            reverse_path: b"s@x".to_vec(),
            client: b"mx".to_vec(),
            address: b"local".to_vec(),
            ..Envelope::default()
        };
        let mut delivery = begin(recipients, &envelope);
        text.chunks(7).for_each(|piece| delivery.write(piece));
        delivery.finish()
    }

    #[test]
    fn each_recipient_gets_a_copy_and_an_answer() {
        for format in [Format::Maildir, Format::Sdbox, Format::Mdbox] {
            each_gets_a_copy(format);
        }
    }

    fn each_gets_a_copy(format: Format) {
        let (account, _directory) = Account::temporary_of(format);
        account.prepare().unwrap();
        let to = |detail: Option<&str>, works: bool| Recipient {
            account: match works {
                true => Ok(account.clone()),
                false => Err(Outcome::Busy),
            },
            address: b"ann@x".to_vec(),
            detail: detail.map(str::to_owned),
        };
        let all = vec![
            to(None, true),
            to(Some("Archive"), true),
            to(Some("nowhere"), true),
            to(Some("../x"), true),
            to(None, false),
        ];
        let outcomes = deliver(all, b"Subject: x\r\n\r\nbody\r\n");
        use Outcome::{Busy, Delivered};
        assert_eq!(outcomes, [Delivered, Delivered, Delivered, Delivered, Busy]);
        for (name, count) in [("INBOX", 3), ("Archive", 1)] {
            let name = MailboxName::new(name).unwrap();
            assert_eq!(
                account
                    .status(&name, crate::mailbox::Asked::default())
                    .unwrap()
                    .messages,
                count
            );
        }
        let inbox = account
            .select(&MailboxName::inbox(), Access::ReadOnly)
            .unwrap();
        let want = Want {
            body: true,
            ..Want::default()
        };
        let mut rows = inbox.fetch(inbox.uids().clone(), want);
        assert!(rows.advance().unwrap());
        let mut content = rows.content(&Section::default()).unwrap().unwrap();
        let mut text = Vec::new();
        while content.read(&mut text, 100).unwrap() > 0 {}
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.starts_with("Return-Path: <s@x>\r\nDelivered-To: ann@x\r\n"),
            "{text}"
        );
        assert!(
            text.ends_with("+0000\r\nSubject: x\r\n\r\nbody\r\n"),
            "{text}"
        );
    }

    #[test]
    fn too_large_is_said() {
        let (account, _directory) = Account::temporary();
        let to = Recipient {
            account: Ok(account.clone()),
            address: Vec::new(),
            detail: None,
        };
        let text = vec![b'x'; 51 << 20];
        let mut delivery = begin(vec![to], &Envelope::default());
        delivery.write(&text);
        assert_eq!(delivery.finish(), [Outcome::TooLarge]);
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_byte(outcome.byte()), outcome);
        }
        assert_eq!(Outcome::from_byte(77), Outcome::Unavailable);
    }
}
