//! Patterns in which `<>` stands for anything.

/// True if the whole text is what the pattern says.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split("<>");
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        let Some((_, behind)) = rest.split_once(piece) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}
