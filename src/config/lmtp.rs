//! The table `[lmtp]`.

use super::document::quoted;
use super::manual::LMTP;
use super::reader::{Part, Reader};

/// How LMTP is spoken, and what becomes of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lmtp {
    /// Any of these characters ends the user's name in a local part (RFC 5233 section 1); empty for none.
    pub(crate) recipient_delimiter: String,
    /// What stands behind it is a mailbox to deliver to, if there is one of that name.
    pub(crate) save_to_detail_mailbox: bool,
    pub(crate) delivery_address: DeliveryAddress,
}

/// Which address Delivered-To and Received tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DeliveryAddress {
    None,
    /// That of RCPT.
    #[default]
    Final,
    /// That of ORCPT, if there is one.
    Original,
}

const ADDRESSES: [(&str, DeliveryAddress); 3] = [
    ("none", DeliveryAddress::None),
    ("final", DeliveryAddress::Final),
    ("original", DeliveryAddress::Original),
];

impl DeliveryAddress {
    /// The word of the configuration file.
    pub(crate) fn as_str(self) -> &'static str {
        let found = ADDRESSES.iter().find(|(_, address)| *address == self);
        found.map_or("final", |(word, _)| word)
    }

    /// `None` for another word.
    pub(crate) fn named(word: &str) -> Option<DeliveryAddress> {
        let found = ADDRESSES.iter().find(|(name, _)| *name == word);
        found.map(|(_, address)| *address)
    }
}

impl Default for Lmtp {
    fn default() -> Lmtp {
        Lmtp {
            recipient_delimiter: "+".to_owned(),
            save_to_detail_mailbox: true,
            delivery_address: DeliveryAddress::default(),
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, top: &Part<'_>) -> Option<Lmtp> {
    let part = reader.table(top, LMTP)?;
    let mut lmtp = Lmtp::default();
    if let Some((at, text)) = reader.text(&part, "recipient_delimiter") {
        let good = |c: char| c.is_ascii_punctuation() && !"@\"\\/".contains(c);
        if text.chars().all(good) {
            lmtp.recipient_delimiter = text.to_owned();
        } else {
            let message = format!(
                "{} cannot end a user's name; write characters such as \"+\" or \"+-\"",
                quoted(text)
            );
            reader.faults.add(at, message);
        }
    }
    if let Some(saves) = reader.flag(&part, "save_to_detail_mailbox") {
        lmtp.save_to_detail_mailbox = saves;
    }
    if let Some(address) = reader.word(&part, "delivery_address_header", &ADDRESSES) {
        lmtp.delivery_address = address;
    }
    Some(lmtp)
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{parse, show};
    use super::*;

    fn read(text: &str) -> Result<Lmtp, String> {
        let config = parse(text, settings());
        config.map(|c| c.lmtp).map_err(|f| f[0].to_string())
    }

    #[test]
    fn all_of_it_is_read_and_shown() {
        assert_eq!(read(""), Ok(Lmtp::default()));
        let text = "[lmtp]\nrecipient_delimiter = \"+-\"\nsave_to_detail_mailbox = false\n\
                    delivery_address_header = \"original\"\n";
        let all = Lmtp {
            recipient_delimiter: "+-".to_owned(),
            save_to_detail_mailbox: false,
            delivery_address: DeliveryAddress::Original,
        };
        assert_eq!(read(text), Ok(all.clone()));
        let config = parse(text, settings()).unwrap();
        assert_eq!(read(&show(&config)), Ok(all));
        let none = read("[lmtp]\nrecipient_delimiter = \"\"");
        assert_eq!(none.unwrap().recipient_delimiter, "");
        for (word, address) in ADDRESSES {
            assert_eq!(DeliveryAddress::named(word), Some(address));
            assert_eq!(address.as_str(), word);
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, fault) in [
            (
                "[lmtp]\nrecipient_delimiter = \"x\"",
                "2:23: \"x\" cannot end a user's name; write characters such as \"+\" or \"+-\"",
            ),
            (
                "[lmtp]\nrecipient_delimiter = \"@\"",
                "2:23: \"@\" cannot end a user's name; write characters such as \"+\" or \"+-\"",
            ),
            (
                "[lmtp]\ndelivery_address_header = \"first\"",
                "2:27: `delivery_address_header` cannot be \"first\"; write \"none\" or \"final\" or \"original\"",
            ),
        ] {
            assert_eq!(read(text), Err(fault.to_owned()));
        }
    }
}
