//! The form in which texts are compared: i;unicode-casemap (RFC 5051 section 2).

use unicode_normalization::char::decompose_compatible;

/// Appends `text` titlecased and decomposed; two texts compare as the octets of this form do.
pub(crate) fn casemap(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        return ascii(text.as_bytes(), out);
    }
    for c in text.chars() {
        if c.is_ascii() {
            out.push((c as u8).to_ascii_uppercase());
        } else {
            decompose(titlecase(c), out);
        }
    }
}

fn ascii(text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(text);
    out.get_mut(start..)
        .unwrap_or_default()
        .make_ascii_uppercase();
}

fn decompose(c: char, out: &mut Vec<u8>) {
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    // UnicodeData.txt has no decomposition of the syllables of Hangul.
    if ('\u{ac00}'..='\u{d7a3}').contains(&c) {
        return push(c);
    }
    decompose_compatible(c, push);
}

/// The simple titlecase mapping of UnicodeData.txt: that of upper case but for a few letters.
fn titlecase(c: char) -> char {
    match c {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian letters have an upper case but no title case.
        '\u{10d0}'..='\u{10ff}' => c,
        // Greek letters with iota below become one letter here, two in full upper case.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => {
            char::from_u32(u32::from(c) + 8).unwrap_or(c)
        }
        '\u{1fb3}' => '\u{1fbc}',
        '\u{1fc3}' => '\u{1fcc}',
        '\u{1ff3}' => '\u{1ffc}',
        _ => {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                // A full mapping to several letters is not in UnicodeData.txt.
                _ => c,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_compare_equal() {
        let mapped = |text: &str| {
            let mut out = Vec::new();
            casemap(text, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (text, expected) in [
            ("aZ[1", "AZ[1"),
            // The example of the RFC.
            ("\u{1c4}", "Dz\u{30c}"),
            ("\u{e9}t\u{e9}", "E\u{301}TE\u{301}"),
            ("\u{df}", "\u{df}"),
            ("\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}"),
            ("\u{1f80}", "\u{391}\u{313}\u{345}"),
            ("\u{fb01}", "fi"),
            ("\u{ff41}", "A"),
            ("\u{10d0}", "\u{10d0}"),
            ("\u{d55c}", "\u{d55c}"),
            ("\u{434}", "\u{414}"),
        ] {
            assert_eq!(mapped(text), expected, "{text}");
        }
    }
}
