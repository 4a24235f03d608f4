//! What a client believes of the selected mailbox, from the responses it got and nothing else.

use crate::support::Random;

/// One message by its number: what was told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    uid: Option<u32>,
    /// Sorted, without `\Recent`; `None`: never told.
    flags: Option<Vec<String>>,
}

#[derive(Debug, Default)]
pub(crate) struct View {
    messages: Vec<Message>,
}

/// What a response was about.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) expunged: bool,
    pub(crate) uid: Option<u32>,
    /// Message-ID, if the header was in it.
    pub(crate) id: Option<String>,
}

impl View {
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// An untagged response, without `* `.
    pub(crate) fn learn(&mut self, response: &str) -> Told {
        let mut words = response.splitn(3, ' ');
        let number = words.next().and_then(|n| n.parse::<usize>().ok());
        match (number, words.next()) {
            (Some(number), Some("EXISTS")) => {
                assert!(
                    number >= self.len(),
                    "{number} EXISTS, {} before, without EXPUNGE",
                    self.len()
                );
                self.messages.resize(number, Message::default());
                Told::default()
            }
            (Some(number), Some("EXPUNGE")) => {
                assert!(self.exists(number), "{response}: of {}", self.len());
                self.messages.remove(number - 1);
                Told {
                    expunged: true,
                    ..Told::default()
                }
            }
            (Some(number), Some("FETCH")) => self.fetched(number, words.next().unwrap()),
            _ => Told::default(),
        }
    }

    fn exists(&self, number: usize) -> bool {
        number >= 1 && number <= self.len()
    }

    fn fetched(&mut self, number: usize, items: &str) -> Told {
        assert!(self.exists(number), "FETCH {number} of {}", self.len());
        let message = &mut self.messages[number - 1];
        let after = |name: &str| items.split_once(name).map(|(_, rest)| rest);
        let digits = |text: &str| {
            text.split(|c: char| !c.is_ascii_digit())
                .next()
                .map(str::to_owned)
        };
        let uid = after("UID ")
            .and_then(digits)
            .map(|uid| uid.parse().unwrap());
        if let Some(uid) = uid {
            let same = message.uid.is_none_or(|known| known == uid);
            assert!(same, "{number} was {message:?} and is {items}");
            message.uid = Some(uid);
        }
        if let Some(flags) = after("FLAGS (") {
            let flags = flags.split(')').next().unwrap().split_whitespace();
            let mut flags: Vec<String> = flags.map(str::to_owned).collect();
            flags.retain(|flag| flag != "\\Recent");
            flags.sort();
            message.flags = Some(flags);
        }
        let id = after("Message-ID: <").map(|id| id.split('>').next().unwrap().to_owned());
        Told {
            expunged: false,
            uid: message.uid,
            id,
        }
    }

    /// UIDs ascend with the numbers, whether all are known or not.
    pub(crate) fn check(&self) {
        let uids: Vec<u32> = self.messages.iter().filter_map(|m| m.uid).collect();
        assert!(uids.is_sorted_by(|a, b| a < b), "{uids:?}");
    }

    /// One or two UIDs that are known; `1` if none is.
    pub(crate) fn uids(&self, random: &mut Random) -> String {
        let uids: Vec<u32> = self.messages.iter().filter_map(|m| m.uid).collect();
        let mut one = || match uids.len() {
            0 => 1,
            count => uids[random.below(count as u64) as usize],
        };
        format!("{},{}", one(), one())
    }

    /// Whatever was told is as `truth`, which was told everything, has it; no message is missing.
    pub(crate) fn agrees(&self, truth: &View) {
        assert_eq!(self.len(), truth.len(), "{self:#?}\n{truth:#?}");
        for (number, (own, right)) in self.messages.iter().zip(&truth.messages).enumerate() {
            let uid = own.uid.is_none_or(|_| own.uid == right.uid);
            let flags = own.flags.is_none() || own.flags == right.flags;
            assert!(uid && flags, "{}: {own:?}, but it is {right:?}", number + 1);
        }
    }
}
