//! Base subjects (RFC 5256 section 2.1).

use super::encoded::decode_header;

/// What is left of a subject without the marks of replies and forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseSubject {
    pub(crate) text: String,
    /// Something of a reply or a forward was taken away, so it is one (RFC 5256 section 3).
    pub(crate) is_reply: bool,
}

/// The base subject of a raw Subject value; empty for an empty one. Linear in its length.
pub(crate) fn base_subject(value: &[u8]) -> BaseSubject {
    let mut is_reply = false;
    let decoded = one_line(&decode_header(value));
    let mut text = decoded.as_str();
    loop {
        text = without_trailers(text, &mut is_reply);
        text = without_leaders(text, &mut is_reply);
        match forwarded(text) {
            Some(inside) => {
                is_reply = true;
                text = inside;
            }
            None => {
                return BaseSubject {
                    text: text.to_owned(),
                    is_reply,
                };
            }
        }
    }
}

/// Step 1: tabs, line ends and runs of blanks are one blank.
fn one_line(text: &str) -> String {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut out = String::with_capacity(text.len());
    let mut after_blank = false;
    for c in text.chars() {
        if !blank(c) {
            out.push(c);
        } else if !after_blank {
            out.push(' ');
        }
        after_blank = blank(c);
    }
    out
}

/// Step 2: `subj-trailer = "(fwd)" / WSP`.
fn without_trailers<'t>(mut text: &'t str, is_reply: &mut bool) -> &'t str {
    loop {
        text = text.trim_end_matches(' ');
        match strip_end(text, "(fwd)") {
            Some(rest) => {
                *is_reply = true;
                text = rest;
            }
            None => return text,
        }
    }
}

/// Steps 3 to 5: leaders, and blobs that are not all there is.
fn without_leaders<'t>(mut text: &'t str, is_reply: &mut bool) -> &'t str {
    loop {
        text = text.trim_start_matches(' ');
        // All blobs at once, so that a long row of them is looked at once; the last one stays if
        // nothing would be left.
        let (mut behind, mut base) = (text, text);
        while let Some(rest) = blob(behind) {
            behind = rest;
            if !rest.is_empty() {
                base = rest;
            }
        }
        match reply_mark(behind) {
            Some(rest) => {
                *is_reply = true;
                text = rest;
            }
            None => return base,
        }
    }
}

/// `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`: what is behind it.
fn reply_mark(text: &str) -> Option<&str> {
    let behind_word = strip_start(text, "re")
        .or_else(|| strip_start(text, "fwd"))
        .or_else(|| strip_start(text, "fw"))?;
    let rest = behind_word.trim_start_matches(' ');
    blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`: what is behind it.
fn blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    let rest = inside.get(end..)?.strip_prefix(']')?;
    Some(rest.trim_start_matches(' '))
}

/// Step 6: `subj-fwd-hdr = "[fwd:"` at the start and `subj-fwd-trl = "]"` at the end.
fn forwarded(text: &str) -> Option<&str> {
    strip_start(text, "[fwd:")?.strip_suffix(']')
}

fn strip_start<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let head = text.get(..start.len())?;
    head.eq_ignore_ascii_case(start)
        .then(|| text.get(start.len()..))?
}

fn strip_end<'t>(text: &'t str, end: &str) -> Option<&'t str> {
    let at = text.len().checked_sub(end.len())?;
    let tail = text.get(at..)?;
    tail.eq_ignore_ascii_case(end).then(|| text.get(..at))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_replies_and_forwards_go() {
        for (subject, text, is_reply) in [
            ("", "", false),
            ("hello", "hello", false),
            ("  a \t b\r\n c ", "a b c", false),
            ("Re: hello", "hello", true),
            ("RE: re:FWD: hello (fwd) (FWD)", "hello", true),
            ("Re [2]: x", "x", true),
            ("Re[2] : x", "x", true),
            ("fw: fwd : x", "x", true),
            ("[list] hello", "hello", false),
            ("[list]", "[list]", false),
            ("[a][b]", "[b]", false),
            ("[a] Re: [b] x", "x", true),
            ("[a] [b", "[b", false),
            ("[Fwd: Re: x]", "x", true),
            ("[fwd:[fwd: x (fwd)]]", "x", true),
            ("Re:", "", true),
            ("regarding: x", "regarding: x", false),
            ("=?utf-8?q?Re=3A_=C3=BC?=", "\u{fc}", true),
            ("\u{fc}(fwd)", "\u{fc}", true),
        ] {
            let base = base_subject(subject.as_bytes());
            assert_eq!(
                (base.text.as_str(), base.is_reply),
                (text, is_reply),
                "{subject}"
            );
        }
    }

    #[test]
    fn hostile_subjects_take_linear_time() {
        for unit in ["[a]", "re:", "(fwd)", "[fwd:", "re [a] "] {
            base_subject(unit.repeat(100_000).as_bytes());
        }
        let nested = format!("{}x{}", "[fwd:".repeat(50_000), "]".repeat(50_000));
        assert_eq!(base_subject(nested.as_bytes()).text, "x");
    }
}
