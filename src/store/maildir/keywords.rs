//! `dovecot-keywords`: names of the keyword letters a to z.

use crate::mail::Keyword;

pub(crate) const FILE: &str = "dovecot-keywords";
/// Letters there are.
pub(super) const MAX_LETTERS: usize = 26;

/// What keywords are called, behind that a number, whose letters messages have and nothing names; Dovecot calls them so.
pub(crate) const UNKNOWN: &str = "unknown-";

/// Positions are letters; lines that make no sense are left out.
pub(crate) fn parse(text: &[u8]) -> Vec<Option<Keyword>> {
    let mut keywords: Vec<Option<Keyword>> = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        let Some((number, name)) = line.split_once(' ') else {
            continue;
        };
        let (Ok(at), Some(keyword)) = (number.parse::<usize>(), Keyword::new(name)) else {
            continue;
        };
        if at < MAX_LETTERS {
            keywords.resize(keywords.len().max(at + 1), None);
            if let Some(slot) = keywords.get_mut(at) {
                *slot = Some(keyword);
            }
        }
    }
    keywords
}

/// The file that names these letters; keywords beyond z have no place in it.
pub(crate) fn encode(keywords: &[Option<Keyword>]) -> String {
    let named = keywords.iter().take(MAX_LETTERS).enumerate();
    named
        .filter_map(|(at, keyword)| keyword.as_ref().map(|k| format!("{at} {k}\n")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_keep_their_names() {
        let text = b"0 $Forwarded\n2 x\n26 beyond\nbad\n1\n3 in valid\n";
        let keywords = parse(text);
        assert_eq!(keywords.len(), 3);
        assert_eq!(encode(&keywords), "0 $Forwarded\n2 x\n");
    }
}
