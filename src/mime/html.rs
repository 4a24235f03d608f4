//! The text of HTML, without markup, for previews: a state machine over characters in bounded memory.

/// What was read of a document.
#[derive(Default)]
pub(super) struct Html {
    state: State,
    /// Name of a tag or of an entity as far as it was read.
    name: String,
    /// In an element whose text is not shown: its name.
    hidden: Option<&'static str>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind `&`.
    Entity,
    /// Behind `<`, in the name.
    TagName,
    /// Behind the name.
    Tag,
    /// In a value in these quotes.
    Quoted(char),
    /// Behind `<!--`; how many `-` were last.
    Comment(u8),
}

/// Elements whose text is not shown.
const HIDDEN: [&str; 4] = ["head", "script", "style", "title"];
/// Elements that do not end a word.
const INLINE: [&str; 14] = [
    "a", "abbr", "b", "big", "code", "em", "font", "i", "small", "span", "strong", "sub", "sup",
    "u",
];
/// Longer names are none that matter here.
const MAX_NAME: usize = 12;

impl Html {
    /// Takes a character; calls `show` for what is to be seen.
    pub(super) fn step(&mut self, c: char, show: &mut dyn FnMut(char)) {
        match self.state {
            State::Text => match c {
                '<' => self.begin(State::TagName),
                '&' if self.hidden.is_none() => self.begin(State::Entity),
                c => self.show(c, show),
            },
            State::Entity => self.entity(c, show),
            State::TagName => self.tag_name(c, show),
            State::Tag => match c {
                '>' => self.end_tag(show),
                // In the text of a script no tag begins, so that its quotes do not count.
                '"' | '\'' if self.hidden.is_none() => self.state = State::Quoted(c),
                _ => {}
            },
            State::Quoted(quote) if c == quote => self.state = State::Tag,
            State::Quoted(_) => {}
            State::Comment(dashes) => match c {
                '-' => self.state = State::Comment(dashes.saturating_add(1)),
                '>' if dashes >= 2 => self.state = State::Text,
                _ => self.state = State::Comment(0),
            },
        }
    }

    fn begin(&mut self, state: State) {
        self.name.clear();
        self.state = state;
    }

    fn show(&self, c: char, show: &mut dyn FnMut(char)) {
        if self.hidden.is_none() {
            show(c);
        }
    }

    fn tag_name(&mut self, c: char, show: &mut dyn FnMut(char)) {
        match c {
            '>' => self.end_tag(show),
            '-' if self.name == "!-" => self.state = State::Comment(0),
            c if c.is_ascii_alphanumeric() || matches!(c, '/' | '!' | '-') => {
                if self.name.len() < MAX_NAME {
                    self.name.push(c.to_ascii_lowercase());
                }
            }
            // `<` alone is text.
            c if self.name.is_empty() => {
                self.state = State::Text;
                self.show('<', show);
                self.step(c, show);
            }
            _ => self.state = State::Tag,
        }
    }

    fn end_tag(&mut self, show: &mut dyn FnMut(char)) {
        self.state = State::Text;
        match self.hidden {
            Some(hidden) => {
                if self.name.strip_prefix('/') == Some(hidden) {
                    self.hidden = None;
                }
            }
            None => {
                self.hidden = HIDDEN.into_iter().find(|hidden| self.name == *hidden);
                if !INLINE.contains(&self.name.trim_matches('/')) {
                    show(' ');
                }
            }
        }
    }

    fn entity(&mut self, c: char, show: &mut dyn FnMut(char)) {
        if self.name.len() < MAX_NAME && (c.is_ascii_alphanumeric() || c == '#') {
            return self.name.push(c);
        }
        self.state = State::Text;
        match entity(&self.name) {
            Some(meant) => {
                show(meant);
                if c != ';' {
                    self.step(c, show);
                }
            }
            None => {
                show('&');
                self.name.chars().for_each(&mut *show);
                self.step(c, show);
            }
        }
    }

    /// Tells what is left at the end of the document.
    pub(super) fn finish(&self, show: &mut dyn FnMut(char)) {
        if self.state == State::Entity {
            match entity(&self.name) {
                Some(meant) => show(meant),
                None => ['&'].into_iter().chain(self.name.chars()).for_each(show),
            }
        }
    }
}

/// The character that an entity stands for.
fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "zwnj" | "zwj" | "shy" => '\u{200c}',
        "ndash" => '\u{2013}',
        "mdash" => '\u{2014}',
        "hellip" => '\u{2026}',
        "lsquo" => '\u{2018}',
        "rsquo" => '\u{2019}',
        "ldquo" => '\u{201c}',
        "rdquo" => '\u{201d}',
        "euro" => '\u{20ac}',
        "copy" => '\u{a9}',
        "auml" => '\u{e4}',
        "ouml" => '\u{f6}',
        "uuml" => '\u{fc}',
        "Auml" => '\u{c4}',
        "Ouml" => '\u{d6}',
        "Uuml" => '\u{dc}',
        "szlig" => '\u{df}',
        "eacute" => '\u{e9}',
        "egrave" => '\u{e8}',
        "agrave" => '\u{e0}',
        "ccedil" => '\u{e7}',
        _ => return None,
    })
}
