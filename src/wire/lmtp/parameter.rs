//! Parameters of MAIL and RCPT.

use super::path::path;
use super::reply::{BAD_PATH, BAD_RECIPIENT, PARAMETER, Reply, SYNTAX};
use super::xclient::unescaped;
use crate::codec::base64;
use crate::wire::reader::Reader;

/// Longest envelope identifier (RFC 3461 section 4.4).
const MAX_ENVID: usize = 100;
/// Longest original recipient (RFC 3461 section 4.2).
const MAX_ORCPT: usize = 500;
/// Longest value of XRCPTFORWARD.
const MAX_FORWARD: usize = 900;

/// MAIL with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mail {
    /// Empty for the null reverse path.
    pub(crate) reverse_path: Vec<u8>,
    /// RFC 1870 section 3.
    pub(crate) size: Option<u64>,
    pub(crate) body: Body,
    /// Addresses and header fields may be UTF-8 (RFC 6531 section 3.4).
    pub(crate) utf8: bool,
    /// What a notification of failure is to have: `FULL` or `HDRS` (RFC 3461 section 4.3).
    pub(crate) ret: Option<&'static str>,
    /// RFC 3461 section 4.4, decoded.
    pub(crate) envid: Option<Vec<u8>>,
}

/// What BODY says (RFC 3030 section 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Body {
    /// 7BIT and 8BITMIME, which are the same here.
    #[default]
    Text,
    Binary,
}

/// RCPT with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rcpt {
    /// The forward path without angle brackets and source route.
    pub(crate) path: Vec<u8>,
    /// `NEVER`, or some of SUCCESS, FAILURE and DELAY (RFC 3461 section 4.1), in upper case.
    pub(crate) notify: Option<Vec<u8>>,
    /// To whom the message was sent first (RFC 3461 section 4.2): the address behind the type, decoded.
    pub(crate) original: Option<Vec<u8>>,
    /// XRCPTFORWARD, of a proxy, was there.
    pub(crate) forwarded: bool,
}

/// One parameter: its keyword in upper case, and what stands behind `=`.
struct Parameter<'a> {
    keyword: Vec<u8>,
    value: Option<&'a [u8]>,
}

/// The next one; `None` at the end. Errors: something else.
fn parameter<'a>(r: &mut Reader<'a>) -> Result<Option<Parameter<'a>>, Reply> {
    let spaces = r.take_while(|b| b == b' ').len();
    if r.at_end() {
        return Ok(None);
    }
    if spaces == 0 {
        return Err(SYNTAX);
    }
    let keyword = r.take_while(|b| b.is_ascii_alphanumeric() || b == b'-');
    let value = r.eat(b'=').then(|| r.take_while(|b| b > b' ' && b != 127));
    if keyword.is_empty() || value.is_some_and(|value| value.is_empty()) {
        return Err(SYNTAX);
    }
    Ok(Some(Parameter {
        keyword: keyword.to_ascii_uppercase(),
        value,
    }))
}

/// `"MAIL FROM:" Reverse-path [SP Mail-parameters]` (RFC 5321 section 4.1.1.2), behind the verb.
pub(super) fn mail(r: &mut Reader<'_>) -> Result<Mail, Reply> {
    if !r.eat_word(" FROM:") {
        return Err(SYNTAX);
    }
    r.take_while(|b| b == b' ');
    let mut mail = Mail {
        reverse_path: path(r).ok_or(BAD_PATH)?,
        ..Mail::default()
    };
    while let Some(Parameter { keyword, value }) = parameter(r)? {
        match (keyword.as_slice(), value) {
            (b"SIZE", Some(value)) => mail.size = Some(number(value)?),
            (b"BODY", Some(value)) => mail.body = body(value)?,
            (b"SMTPUTF8", None) => mail.utf8 = true,
            (b"RET", Some(value)) => mail.ret = Some(ret(value)?),
            (b"ENVID", Some(value)) => mail.envid = Some(xtext(value, MAX_ENVID)?),
            (b"SIZE" | b"BODY" | b"SMTPUTF8" | b"RET" | b"ENVID", _) => return Err(SYNTAX),
            _ => return Err(PARAMETER),
        }
    }
    Ok(mail)
}

/// `"RCPT TO:" Forward-path [SP Rcpt-parameters]` (RFC 5321 section 4.1.1.3), behind the verb.
pub(super) fn rcpt(r: &mut Reader<'_>) -> Result<Rcpt, Reply> {
    if !r.eat_word(" TO:") {
        return Err(SYNTAX);
    }
    r.take_while(|b| b == b' ');
    let path = path(r).filter(|path| !path.is_empty());
    let mut rcpt = Rcpt {
        path: path.ok_or(BAD_RECIPIENT)?,
        ..Rcpt::default()
    };
    while let Some(Parameter { keyword, value }) = parameter(r)? {
        match (keyword.as_slice(), value) {
            (b"NOTIFY", Some(value)) => rcpt.notify = Some(notify(value)?),
            (b"ORCPT", Some(value)) => rcpt.original = Some(original(value)?),
            (b"XRCPTFORWARD", Some(value)) => {
                forwarded(value)?;
                rcpt.forwarded = true;
            }
            (b"NOTIFY" | b"ORCPT" | b"XRCPTFORWARD", None) => return Err(SYNTAX),
            _ => return Err(PARAMETER),
        }
    }
    Ok(rcpt)
}

/// A decimal number and nothing else.
pub(super) fn number(digits: &[u8]) -> Result<u64, Reply> {
    let mut r = Reader::new(digits);
    let number = r.number(u64::MAX).filter(|_| r.at_end());
    number.ok_or(SYNTAX)
}

fn body(value: &[u8]) -> Result<Body, Reply> {
    match value.to_ascii_uppercase().as_slice() {
        b"7BIT" | b"8BITMIME" => Ok(Body::Text),
        b"BINARYMIME" => Ok(Body::Binary),
        _ => Err(SYNTAX),
    }
}

fn ret(value: &[u8]) -> Result<&'static str, Reply> {
    let all = ["FULL", "HDRS"].into_iter();
    let mut same = all.filter(|word| value.eq_ignore_ascii_case(word.as_bytes()));
    same.next().ok_or(SYNTAX)
}

fn notify(value: &[u8]) -> Result<Vec<u8>, Reply> {
    let value = value.to_ascii_uppercase();
    let some = |word: &[u8]| matches!(word, b"SUCCESS" | b"FAILURE" | b"DELAY");
    match value == b"NEVER" || value.split(|b| *b == b',').all(some) {
        true => Ok(value),
        false => Err(SYNTAX),
    }
}

/// `original-recipient-address = atom ";" xtext`; `utf-8-addr` is as it is written (RFC 6533 section 3).
fn original(value: &[u8]) -> Result<Vec<u8>, Reply> {
    let at = memchr::memchr(b';', value).ok_or(SYNTAX)?;
    let (kind, address) = value.split_at(at);
    let atom = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
    if kind.is_empty() || !kind.iter().all(atom) || value.len() > MAX_ORCPT {
        return Err(SYNTAX);
    }
    xtext(address.get(1..).unwrap_or_default(), MAX_ORCPT)
}

/// `xtext` (RFC 3461 section 4): `+` and two hexadecimal digits in upper case stand for an octet. The result is
/// UTF-8 without control characters, as it goes into header fields.
pub(super) fn xtext(text: &[u8], max: usize) -> Result<Vec<u8>, Reply> {
    let mut out = Vec::new();
    let mut r = Reader::new(text);
    while let Some(byte) = r.peek() {
        r.take(1);
        out.push(match byte {
            b'+' => hexadecimal(r.take(2)).ok_or(SYNTAX)?,
            b'=' => return Err(SYNTAX),
            other => other,
        });
    }
    let clean = std::str::from_utf8(&out).is_ok_and(|text| !text.chars().any(char::is_control));
    match clean && !text.is_empty() && text.len() <= max {
        true => Ok(out),
        false => Err(SYNTAX),
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let upper = |b: &u8| b.is_ascii_digit() || (b'A'..=b'F').contains(b);
    let text = std::str::from_utf8(digits).ok()?;
    let good = digits.len() == 2 && digits.iter().all(upper);
    u8::from_str_radix(text, 16).ok().filter(|_| good)
}

/// Base64 of `name=value` with tabs between them, as Dovecot's proxies send for what a user source may want; no
/// source here wants any of it.
fn forwarded(value: &[u8]) -> Result<(), Reply> {
    let fields = base64::decode(value).filter(|_| value.len() <= MAX_FORWARD);
    let fields = fields.and_then(|fields| unescaped(&fields));
    let named = |fields: Vec<Vec<u8>>| fields.iter().all(|field| !field.starts_with(b"="));
    match fields.is_some_and(named) {
        true => Ok(()),
        false => Err(SYNTAX),
    }
}
