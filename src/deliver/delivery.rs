//! A message on its way into the mailboxes of its recipients.

use super::trace::{Envelope, Stamp};
use crate::config::DeliveryAddress;
use crate::mail::{Flags, MailboxName, sort_by};
use crate::mailbox::{Account, Draft, Error, Filed};

/// Recipients whose copies have their names before the first is made durable: a file system with a journal then
/// writes that once for all of them. Each holds some open files.
const TOGETHER: usize = 32;

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

impl Recipient {
    /// The mailbox that the subaddress names.
    fn mailbox(&self) -> Option<MailboxName> {
        let detail = self.detail.as_deref()?;
        MailboxName::new(detail).ok()
    }
}

/// A message that is being written for its recipients. Blocks on the disk.
pub(crate) struct Delivery {
    copies: Vec<Copy>,
    /// Why others get nothing, with their places.
    refused: Vec<(usize, Outcome)>,
}

/// One draft for all recipients whose messages are the same octets on the same file system: it becomes a link for
/// each, where the format has those.
struct Copy {
    fields: Vec<u8>,
    draft: Result<Draft, Outcome>,
    recipients: Vec<(usize, Account, Recipient)>,
}

impl Delivery {
    /// `named`: which address the fields in front of the message tell.
    pub(crate) fn new(
        recipients: Vec<Recipient>,
        envelope: &Envelope,
        named: DeliveryAddress,
        stamp: Stamp<'_>,
    ) -> Delivery {
        let mut delivery = Delivery {
            copies: Vec::new(),
            refused: Vec::new(),
        };
        for (at, recipient) in recipients.into_iter().enumerate() {
            let account = match &recipient.account {
                Ok(account) => account.clone(),
                Err(outcome) => {
                    delivery.refused.push((at, *outcome));
                    continue;
                }
            };
            let fields = envelope.fields((&recipient.address, at), named, stamp);
            delivery.add((at, account, recipient), fields, envelope.binary);
        }
        delivery
    }

    /// To the copy that this recipient can share, or a new one.
    fn add(&mut self, recipient: (usize, Account, Recipient), fields: Vec<u8>, binary: bool) {
        let account = &recipient.1;
        let beside = |copy: &Copy| {
            let first = copy.recipients.first();
            first.is_some_and(|(_, first, _)| first.is_beside(account))
        };
        let same = |copy: &&mut Copy| copy.draft.is_ok() && copy.fields == fields && beside(copy);
        if let Some(copy) = self.copies.iter_mut().find(same) {
            return copy.recipients.push(recipient);
        }
        self.copies.push(Copy {
            draft: stage(account, recipient.2.mailbox().as_ref(), &fields, binary),
            fields,
            recipients: vec![recipient],
        });
    }

    /// More of the message, split anywhere. A copy that cannot be written is left out.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for copy in &mut self.copies {
            if let Ok(writing) = &mut copy.draft
                && let Err(error) = writing.write(bytes)
            {
                copy.draft = Err(error.into());
            }
        }
    }

    /// Files the message for everybody; one outcome a recipient, in their order.
    pub(crate) fn finish(self) -> Vec<Outcome> {
        let mut outcomes = self.refused;
        for mut copy in self.copies {
            for together in copy.recipients.chunks(TOGETHER) {
                let draft = &mut copy.draft;
                let filed: Vec<_> = together
                    .iter()
                    .map(|(at, account, recipient)| match draft {
                        Ok(draft) => (*at, file(account, recipient, draft)),
                        Err(outcome) => (*at, Err(*outcome)),
                    })
                    .collect();
                outcomes.extend(filed.into_iter().map(|(at, filed)| (at, finish(filed))));
            }
        }
        sort_by(&mut outcomes, |(a, _), (b, _)| a.cmp(b));
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }
}

/// `to`: the mailbox of the first recipient, if it is another than INBOX.
fn stage(
    account: &Account,
    to: Option<&MailboxName>,
    fields: &[u8],
    binary: bool,
) -> Result<Draft, Outcome> {
    let mut draft = to.map_or_else(|| account.draft(), |name| account.draft_for(name));
    draft.trace(fields)?;
    if binary {
        // Mailboxes hold lines.
        draft.take_binary();
    }
    Ok(draft)
}

/// In the mailbox that the recipient names if there is such a one, else in INBOX.
fn file(account: &Account, recipient: &Recipient, draft: &mut Draft) -> Result<Filed, Outcome> {
    if let Some(name) = recipient.mailbox()
        && account.exists(&name)?
    {
        match account.file(&name, draft, &Flags::default()) {
            // It went meanwhile.
            Err(Error::NoSuchMailbox) => {}
            filed => return Ok(filed?),
        }
    }
    Ok(account.file(&MailboxName::inbox(), draft, &Flags::default())?)
}

fn finish(filed: Result<Filed, Outcome>) -> Outcome {
    match filed.map(Filed::finish) {
        Ok(Ok(_)) => Outcome::Delivered,
        Ok(Err(error)) => error.into(),
        Err(outcome) => outcome,
    }
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
        for format in [Format::Maildir, Format::Mbox, Format::Sdbox, Format::Mdbox] {
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

    fn to(account: &Account) -> Recipient {
        Recipient {
            account: Ok(account.clone()),
            address: b"x".to_vec(),
            detail: None,
        }
    }

    #[test]
    fn one_copy_serves_all_of_a_file_system() {
        use std::os::unix::fs::MetadataExt;
        let (ann, _a) = Account::temporary_of(Format::Maildir);
        let (bob, b) = Account::temporary_of(Format::Maildir);
        for account in [&ann, &bob] {
            account.prepare().unwrap();
        }
        for (several, links) in [(true, 4), (false, 2)] {
            let envelope = Envelope {
                several,
                ..Envelope::default()
            };
            let recipients = vec![to(&ann), to(&bob), to(&ann), to(&bob)];
            let recipients = match several {
                true => recipients,
                // Each its own address.
                false => (0u8..)
                    .zip(recipients)
                    .map(|(at, to)| Recipient {
                        address: vec![b'a' + at / 2],
                        ..to
                    })
                    .collect(),
            };
            let mut delivery = begin(recipients, &envelope);
            delivery.write(b"Subject: x\r\n\r\nbody\r\n");
            assert_eq!(delivery.finish(), [Outcome::Delivered; 4]);
            let new = std::fs::read_dir(b.path().join("new"));
            let new = new
                .unwrap()
                .map(|entry| entry.unwrap().metadata().unwrap().nlink());
            assert!(new.max().unwrap() >= links, "{several}");
        }
    }

    /// Each has names in both mailboxes before anybody is told of one; who came first is waited for.
    #[test]
    fn deliveries_to_the_same_in_another_order_do_not_wait_for_each_other() {
        for format in [Format::Maildir, Format::Mbox, Format::Sdbox, Format::Mdbox] {
            let (ann, _a) = Account::temporary_of(format);
            let (bob, _b) = Account::temporary_of(format);
            for account in [&ann, &bob] {
                account.prepare().unwrap();
            }
            let envelope = Envelope {
                several: true,
                ..Envelope::default()
            };
            std::thread::scope(|scope| {
                for order in [[&ann, &bob, &ann], [&bob, &ann, &bob], [&bob, &bob, &ann]] {
                    let envelope = &envelope;
                    scope.spawn(move || {
                        for _ in 0..20 {
                            let mut delivery = begin(order.map(to).into(), envelope);
                            delivery.write(b"Subject: x\r\n\r\nbody\r\n");
                            assert_eq!(delivery.finish(), [Outcome::Delivered; 3]);
                        }
                    });
                }
            });
            for (account, count) in [(&ann, 80), (&bob, 100)] {
                let asked = crate::mailbox::Asked::default();
                let status = account.status(&MailboxName::inbox(), asked).unwrap();
                assert_eq!(status.messages, count, "{format:?}");
                assert_eq!(status.uid_next.number(), count + 1, "{format:?}");
            }
        }
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
