//! Which known name a misspelt one may have meant.

/// Longer texts are nobody's typing error.
const MAX_LENGTH: usize = 64;

/// Returns the name nearest to `wrong`, if it is near enough to be meant: at most a third of its
/// letters differ.
pub(crate) fn nearest<'n>(
    wrong: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Option<&'n str> {
    if wrong.len() > MAX_LENGTH {
        return None;
    }
    let wrong = wrong.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| (distance(&wrong, name), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour to make
/// `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // The last two rows of the table of distances between beginnings of the two words.
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut last = None;
    for (i, c) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, d) in b.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let replaced = at(&row, j).saturating_add(usize::from(c != *d));
            let removed = at(&row, j + 1).saturating_add(1);
            let added = at(&next, j).saturating_add(1);
            let mut best = replaced.min(removed).min(added);
            if let Some(left) = j.checked_sub(1)
                && last == Some(*d)
                && b.get(left) == Some(&c)
            {
                best = best.min(at(&before, left).saturating_add(1));
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(c);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let cases = [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "abxc", 1),
            ("kitten", "sitting", 3),
            ("isolaton", "isolation", 1),
            ("ab", "ba", 1),
        ];
        for (a, b, expected) in cases {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_near_names_are_meant() {
        let names = ["hostname", "board", "max_connections", "tls"];
        let cases = [
            ("hostnam", Some("hostname")),
            ("Host-name", Some("hostname")),
            ("max-connections", Some("max_connections")),
            ("maxconnection", Some("max_connections")),
            ("tsl", Some("tls")),
            ("TLS", Some("tls")),
            ("ssl", None),
            ("log", None),
            ("", None),
            ("completely different", None),
        ];
        for (wrong, expected) in cases {
            assert_eq!(nearest(wrong, names), expected, "{wrong}");
        }
        assert_eq!(nearest(&"tls".repeat(100), names), None);
    }
}
