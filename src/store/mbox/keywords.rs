//! What the letters of keywords are called.

use super::field::Base;
use super::line::{Line, MAX_LETTERS};
use super::state::State;
use crate::mail::Keyword;
use crate::store::Error;

impl State {
    /// What the first message is to say of all.
    pub(super) fn wanted_base(&self) -> Base {
        let keywords = self.keywords.iter().flatten();
        let keywords = keywords.map(Keyword::as_str).chain(self.all_beyond());
        Base {
            uid_validity: self.uid_validity,
            last_uid: self.uid_next.number() - 1,
            keywords: keywords.map(Into::into).collect(),
        }
    }

    /// What letters are called.
    pub(super) fn named(&self, letters: u32) -> Vec<&str> {
        let all = self.keywords.iter().enumerate().take(MAX_LETTERS);
        let set = all.filter(|(at, _)| letters >> at & 1 == 1);
        set.filter_map(|(_, keyword)| Some(keyword.as_ref()?.as_str()))
            .collect()
    }

    /// The letters of keywords; those that have none get one while there are some.
    pub(super) fn letters(&mut self, named: &[Box<str>]) -> Result<u32, Error> {
        let mut letters = 0;
        for name in named {
            let Some(keyword) = Keyword::new(name) else {
                continue;
            };
            let own = self.keywords.iter();
            let known = own.clone().position(|k| k.as_ref() == Some(&keyword));
            let free = || own.clone().position(Option::is_none);
            let at = known.or_else(free).unwrap_or(self.keywords.len());
            if at >= MAX_LETTERS {
                continue;
            }
            if known.is_none() {
                self.name_letter(at, keyword)?;
            }
            letters |= 1 << at;
        }
        Ok(letters)
    }

    /// Says what letters mean, before they are used.
    pub(super) fn name_letters(&mut self, keywords: &[Option<Keyword>]) -> Result<(), Error> {
        for (at, keyword) in keywords.iter().enumerate().take(MAX_LETTERS) {
            let named = self.keywords.get(at).and_then(Option::as_ref);
            match keyword {
                Some(keyword) if named.is_some_and(|named| named != keyword) => {
                    return Err(Error::Corrupt { what: "keywords" });
                }
                Some(keyword) if named.is_none() => self.name_letter(at, keyword.clone())?,
                _ => {}
            }
        }
        Ok(())
    }

    /// That letter, counted from `a`, means that keyword from now on.
    fn name_letter(&mut self, at: usize, keyword: Keyword) -> Result<(), Error> {
        self.log.put(Line::Named(at, &keyword))?;
        self.keywords.resize(self.keywords.len().max(at + 1), None);
        if let Some(place) = self.keywords.get_mut(at) {
            *place = Some(keyword);
        }
        Ok(())
    }
}
