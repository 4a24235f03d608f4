//! Makes a document of the parser's events. What is wrong is noted and the rest goes on.

use toml_parser::decoder::{Encoding, IntegerRadix, ScalarKind};
use toml_parser::parser::{EventReceiver, RecursionGuard, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, Expected, ParseError, Raw, Source, Span};

use super::document::{Node, Origin, Table, Value};
use super::fault::Faults;
use super::tables::{Header, Key, MAX_DEPTH, descend, insert, opened};

/// Returns the document; what cannot be understood is noted in `faults` and left out.
pub(super) fn read(text: &str, faults: &mut Faults) -> Table {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut errors: Vec<ParseError> = Vec::new();
    let mut builder = Builder::new(text, faults);
    {
        let mut spaces = ValidateWhitespace::new(&mut builder, source);
        let mut guard = RecursionGuard::new(&mut spaces, MAX_DEPTH as u32);
        parse_document(&tokens, &mut guard, &mut errors);
    }
    builder.end_line();
    let root = builder.root;
    for error in &errors {
        let place = error.unexpected().or(error.context());
        faults.add(place.map_or(0, |span| span.start()), describe(error));
    }
    root
}

fn describe(error: &ParseError) -> String {
    let expected: Vec<String> = error
        .expected()
        .unwrap_or_default()
        .iter()
        .filter_map(|expected| match expected {
            Expected::Literal("\n") => Some("the end of the line".to_owned()),
            Expected::Literal(text) => Some(format!("`{text}`")),
            Expected::Description(text) => Some((*text).to_owned()),
            _ => None,
        })
        .collect();
    if expected.is_empty() {
        return error.description().to_owned();
    }
    format!(
        "{}; expected {}",
        error.description(),
        expected.join(" or ")
    )
}

/// An array or inline table that is not closed yet, and the keys it will be the value of.
struct Open {
    keys: Vec<Key>,
    node: Node,
}

struct Builder<'t, 'f> {
    text: &'t str,
    faults: &'f mut Faults,
    root: Table,
    /// The table of the last header; none if that header was wrong.
    current: Option<Vec<String>>,
    header: Option<Header>,
    keys: Vec<Key>,
    open: Vec<Open>,
}

impl<'t, 'f> Builder<'t, 'f> {
    fn new(text: &'t str, faults: &'f mut Faults) -> Builder<'t, 'f> {
        Builder {
            text,
            faults,
            root: Table::new(Origin::Header),
            current: Some(Vec::new()),
            header: None,
            keys: Vec::new(),
            open: Vec::new(),
        }
    }

    fn raw(&self, span: Span, encoding: Option<Encoding>) -> Raw<'t> {
        let text = self.text.get(span.start()..span.end()).unwrap_or_default();
        Raw::new_unchecked(text, encoding, span)
    }

    /// A header that was not closed counts as closed; keys without a value are dropped.
    fn end_line(&mut self) {
        if self.open.is_empty() {
            self.enter();
            self.keys.clear();
        }
    }

    /// Goes to the table of the header that was read.
    fn enter(&mut self) {
        let Some(header) = self.header.take() else {
            return;
        };
        let keys = std::mem::take(&mut self.keys);
        self.current = match opened(&mut self.root, &keys, header, self.faults) {
            true => Some(keys.into_iter().map(|key| key.name).collect()),
            false => None,
        };
    }

    fn push_open(&mut self, at: usize, value: Value) {
        let keys = std::mem::take(&mut self.keys);
        let node = Node { at, value };
        self.open.push(Open { keys, node });
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.keys = open.keys;
            self.place(open.node);
        }
    }

    /// Puts a finished value where it belongs.
    fn place(&mut self, node: Node) {
        let keys = std::mem::take(&mut self.keys);
        match self.open.last_mut().map(|open| &mut open.node.value) {
            Some(Value::Array(items)) => items.push(node),
            Some(Value::Table(table)) => insert(table, &keys, node, self.faults),
            Some(_) => {}
            None => {
                if let Some(table) = self
                    .current
                    .as_ref()
                    .and_then(|path| descend(&mut self.root, path))
                {
                    insert(table, &keys, node, self.faults);
                }
            }
        }
    }

    fn value(&mut self, raw: Raw<'t>, bare: bool, error: &mut dyn ErrorSink) -> Value {
        let mut text = String::new();
        let mut errors: Vec<ParseError> = Vec::new();
        let kind = raw.decode_scalar(&mut text, &mut errors);
        if bare && kind == ScalarKind::String {
            return Value::Bare(raw.as_str().to_owned());
        }
        if !errors.is_empty() {
            errors.into_iter().for_each(|e| error.report_error(e));
            return Value::Invalid;
        }
        match kind {
            ScalarKind::String => Value::Text(text),
            ScalarKind::Boolean(value) => Value::Boolean(value),
            ScalarKind::DateTime => Value::Date,
            ScalarKind::Float => Value::Float,
            ScalarKind::Integer(radix) => Value::Integer(integer(&text, radix)),
        }
    }
}

fn integer(digits: &str, radix: IntegerRadix) -> i64 {
    let nearest = if digits.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    i64::from_str_radix(digits, radix.value()).unwrap_or(nearest)
}

impl EventReceiver for Builder<'_, '_> {
    fn std_table_open(&mut self, span: Span, _error: &mut dyn ErrorSink) {
        self.keys.clear();
        self.header = Some(Header {
            at: span.start(),
            of_list: false,
        });
    }

    fn std_table_close(&mut self, _span: Span, _error: &mut dyn ErrorSink) {
        self.enter();
    }

    fn array_table_open(&mut self, span: Span, _error: &mut dyn ErrorSink) {
        self.keys.clear();
        self.header = Some(Header {
            at: span.start(),
            of_list: true,
        });
    }

    fn array_table_close(&mut self, _span: Span, _error: &mut dyn ErrorSink) {
        self.enter();
    }

    fn inline_table_open(&mut self, span: Span, _error: &mut dyn ErrorSink) -> bool {
        self.push_open(span.start(), Value::Table(Table::new(Origin::Inline)));
        true
    }

    fn inline_table_close(&mut self, _span: Span, _error: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, span: Span, _error: &mut dyn ErrorSink) -> bool {
        self.push_open(span.start(), Value::Array(Vec::new()));
        true
    }

    fn array_close(&mut self, _span: Span, _error: &mut dyn ErrorSink) {
        self.close();
    }

    fn simple_key(&mut self, span: Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let mut name = String::new();
        self.raw(span, kind).decode_key(&mut name, error);
        let at = span.start();
        self.keys.push(Key { name, at });
    }

    fn scalar(&mut self, span: Span, kind: Option<Encoding>, error: &mut dyn ErrorSink) {
        let raw = self.raw(span, kind);
        let value = self.value(raw, kind.is_none(), error);
        let at = span.start();
        self.place(Node { at, value });
    }

    fn newline(&mut self, _span: Span, _error: &mut dyn ErrorSink) {
        self.end_line();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value by its path, and the faults.
    fn flat(text: &str) -> (String, Vec<String>) {
        let mut faults = Faults::new(text);
        let root = read(text, &mut faults);
        let mut shown = Vec::new();
        show("", &Value::Table(root), &mut shown);
        let faults = faults.located(text);
        (
            shown.join(" "),
            faults.iter().map(ToString::to_string).collect(),
        )
    }

    fn show(path: &str, value: &Value, shown: &mut Vec<String>) {
        match value {
            Value::Table(table) => {
                for (key, entry) in &table.entries {
                    show(&format!("{path}.{key}"), &entry.node.value, shown);
                }
            }
            Value::Tables(items) | Value::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    show(&format!("{path}[{number}]"), &item.value, shown);
                }
            }
            Value::Text(text) | Value::Bare(text) => shown.push(format!("{path}={text:?}")),
            Value::Integer(number) => shown.push(format!("{path}={number}")),
            other => shown.push(format!("{path}={}", other.kind())),
        }
    }

    #[test]
    fn documents_become_values() {
        let cases = [
            ("", ""),
            ("a = 1", ".a=1"),
            ("a = 0x1F\r\nb = -1_000", ".a=31 .b=-1000"),
            ("a = 99999999999999999999", ".a=9223372036854775807"),
            (r#"a = "x\"\u00e9" # c"#, r#".a="x\"é""#),
            ("a = 'x\\y'", r#".a="x\\y""#),
            ("a.b = 1\na.c = 2", ".a.b=1 .a.c=2"),
            ("[t]\na = 1\n[t.u]\nb = 2", ".t.a=1 .t.u.b=2"),
            ("[t.u]\nb = 2\n[t]\na = 1", ".t.a=1 .t.u.b=2"),
            ("[[l]]\na = 1\n[[l]]\n[l.n]\nb = 2", ".l[0].a=1 .l[1].n.b=2"),
            (
                "l = [ # c\n 1,\n {a = 2, b.c = 3},\n]",
                ".l[0]=1 .l[1].a=2 .l[1].b.c=3",
            ),
            (
                "a = true\nb = 1.5\nc = 1979-05-27",
                ".a=true or false .b=a fraction .c=a date",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(flat(text), (expected.to_owned(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn what_is_right_survives_what_is_wrong() {
        let cases = [
            (
                "a = 1\na = 2\nb = 3",
                ".a=1 .b=3",
                "2:1: `a` is set already on line 1",
            ),
            (
                "[t]\na = 1\n[t]\nb = 2",
                ".t.a=1 .t.b=2",
                "3:2: [t] is there already on line 1: write its settings there",
            ),
            (
                "t = 1\n[t]\na = 1\n[u]\nb = 2",
                ".t=1 .u.b=2",
                "2:2: `t` is set already on line 1",
            ),
            (
                "t.a = 1\n[t]\nb = 2",
                ".t.a=1",
                "2:2: `t` is set already on line 1",
            ),
            (
                "t = {a = 1}\nt.b = 2",
                ".t.a=1",
                "2:1: `t` is set already on line 1",
            ),
            ("[[l]]\n[l]\na = 1", "", "2:2: `l` is set already on line 1"),
            ("[t\na = 1", ".t.a=1", "1:3: unclosed table; expected `]`"),
            ("a\nb = 1", ".b=1", "1:2: key with no value; expected `=`"),
            (
                "l = [1, 2\nb = 3",
                "",
                "2:1: missing comma between array elements; expected `,`",
            ),
            (
                "a = \"x\nb = 1",
                ".a=not readable .b=1",
                "1:7: invalid basic string; expected `\"`",
            ),
        ];
        for (text, expected, fault) in cases {
            let (values, faults) = flat(text);
            if !expected.is_empty() {
                assert_eq!(values, expected, "{text}");
            }
            assert_eq!(faults.first().map(String::as_str), Some(fault), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let cases = [
            format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000)),
            "a = ".to_owned() + &"[".repeat(100_000),
            "a = ".to_owned() + &"{a=".repeat(100_000),
            "a.".repeat(100_000) + "a = 1",
            format!("[{}a]\nb = 1", "a.".repeat(100_000)),
        ];
        for text in cases {
            assert!(!flat(&text).1.is_empty());
        }
    }
}
