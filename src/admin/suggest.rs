//! The word that was probably meant.

/// Letters of a word that are looked at; nothing known is longer.
const MAX_LETTERS: usize = 40;

/// The known word nearest to `word`, if it is near: a third of its letters may differ.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > MAX_LETTERS {
        return None;
    }
    let word = word.to_lowercase();
    let distances = known.into_iter().map(|k| (distance(&word, k), k));
    let (least, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (least <= (nearest.chars().count() / 3).max(1)).then_some(nearest)
}

/// `; did you mean "word"?`, or nothing.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known)
        .map(|meant| format!("; did you mean {meant:?}?"))
        .unwrap_or_default()
}

/// How many letters must be put in, left out, changed or exchanged with the next one.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // Rows of the table of distances between beginnings of both: the last two and the new one.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous = None;
    for (row, letter) in one.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut left = row + 1;
        for (column, &theirs) in other.iter().enumerate() {
            let at = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut least = (at(&last, column) + usize::from(letter != theirs))
                .min(at(&last, column + 1) + 1)
                .min(left + 1);
            let swapped = column > 0
                && previous == Some(theirs)
                && other.get(column - 1).is_some_and(|c| *c == letter);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            current.push(least);
            left = least;
        }
        before = std::mem::replace(&mut last, current);
        previous = Some(letter);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in [
            ("", "", 0),
            ("serve", "serve", 0),
            ("", "user", 4),
            ("user", "", 4),
            ("serv", "serve", 1),
            ("sevre", "serve", 1),
            ("confgi", "config", 1),
            ("ca", "abc", 3),
            ("kitten", "sitting", 3),
            ("grün", "gruen", 2),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_near_words_are_suggested() {
        let known = ["serve", "user", "config", "doctor", "help"];
        for (word, expected) in [
            ("serv", Some("serve")),
            ("SERVE", Some("serve")),
            ("usr", Some("user")),
            ("docter", Some("doctor")),
            ("confgi", Some("config")),
            ("h", None),
            ("", None),
            ("start", None),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
        assert_eq!(nearest(&"serve".repeat(1000), known), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!(hint("serv", known), "; did you mean \"serve\"?");
        assert_eq!(hint("xyz", known), "");
    }
}
