//! Dovecot's authentication protocol, by which mail servers ask who somebody is: lines of fields with a tab between
//! them. No RFC has it; Dovecot's manual does ("Auth Protocol").

use std::net::IpAddr;

/// Octets of a line.
pub(crate) const MAX_LINE: usize = 16_384;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Version {
        major: u32,
    },
    /// The number of the client's process, which nobody needs here.
    Cpid,
    Auth {
        id: u32,
        mechanism: String,
        parameters: Parameters,
    },
    /// The client's response, in base64.
    Cont {
        id: u32,
        response: Vec<u8>,
    },
    Cancel {
        id: u32,
    },
    User {
        id: u32,
        name: String,
    },
    Pass {
        id: u32,
        name: String,
    },
    List {
        id: u32,
    },
    /// To be passed over, as the protocol has it.
    Unknown,
}

/// What an `AUTH` says besides its mechanism; more than this is passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// From where the service's client connects.
    pub(crate) remote: Option<IpAddr>,
    /// What the server proves itself with may come with `OK`.
    pub(crate) final_resp_ok: bool,
    /// The client's first response, in base64.
    pub(crate) initial: Option<Vec<u8>>,
}

/// Reads a line without its end. `None`: the client does not keep to the protocol.
pub(crate) fn parse(line: &[u8]) -> Option<Command> {
    let mut fields = line.split(|b| *b == b'\t');
    let name = fields.next()?;
    let mut next = || fields.next();
    Some(match name {
        b"VERSION" => Command::Version {
            major: number(next()?)?,
        },
        b"CPID" => Command::Cpid,
        b"AUTH" => {
            let (id, mechanism) = (number(next()?)?, text(next()?)?);
            let mut parameters = Parameters::default();
            for field in fields {
                parameters.add(field);
            }
            Command::Auth {
                id,
                mechanism,
                parameters,
            }
        }
        b"CONT" => Command::Cont {
            id: number(next()?)?,
            response: next()?.to_vec(),
        },
        b"CANCEL" => Command::Cancel {
            id: number(next()?)?,
        },
        b"USER" => Command::User {
            id: number(next()?)?,
            name: text(next()?)?,
        },
        b"PASS" => Command::Pass {
            id: number(next()?)?,
            name: text(next()?)?,
        },
        b"LIST" => Command::List {
            id: number(next()?)?,
        },
        _ => Command::Unknown,
    })
}

impl Parameters {
    fn add(&mut self, field: &[u8]) {
        let at = field.iter().position(|b| *b == b'=');
        let (key, value) = field.split_at(at.unwrap_or(field.len()));
        let value = value.get(1..).unwrap_or_default();
        match key {
            b"rip" => {
                let address = text(value).and_then(|text| text.parse::<IpAddr>().ok());
                self.remote = address.map(|address| address.to_canonical());
            }
            b"final-resp-ok" => self.final_resp_ok = true,
            // Exim sends an empty one where its client sent none.
            b"resp" => self.initial = Some(value.to_vec()).filter(|value| !value.is_empty()),
            _ => {}
        }
    }
}

fn number(field: &[u8]) -> Option<u32> {
    let digits = field.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(field)
        .ok()?
        .parse()
        .ok()
        .filter(|_| digits)
}

/// A field without its escapes; `None` unless it is UTF-8.
fn text(field: &[u8]) -> Option<String> {
    let mut octets = Vec::with_capacity(field.len());
    let mut rest = field.iter();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            1 => match rest.next()? {
                b'0' => 0,
                b'1' => 1,
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                other => *other,
            },
            other => *other,
        });
    }
    String::from_utf8(octets).ok()
}

/// Appends a line of these fields, which are escaped.
pub(crate) fn line<'a>(fields: impl IntoIterator<Item = &'a str>, out: &mut Vec<u8>) {
    for (number, field) in fields.into_iter().enumerate() {
        if number > 0 {
            out.push(b'\t');
        }
        for octet in field.bytes() {
            let escape = match octet {
                0 => b'0',
                1 => b'1',
                b'\t' => b't',
                b'\r' => b'r',
                b'\n' => b'n',
                other => {
                    out.push(other);
                    continue;
                }
            };
            out.extend_from_slice(&[1, escape]);
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        let auth = |mechanism: &str, parameters| {
            Some(Command::Auth {
                id: 7,
                mechanism: mechanism.to_owned(),
                parameters,
            })
        };
        let user = |name: &str| {
            Some(Command::User {
                id: 1,
                name: name.to_owned(),
            })
        };
        for (line, expected) in [
            (&b"VERSION\t1\t2"[..], Some(Command::Version { major: 1 })),
            (b"VERSION\tx", None),
            (b"VERSION", None),
            (b"CPID\t12", Some(Command::Cpid)),
            (
                b"AUTH\t7\tPLAIN\tservice=smtp\tnologin\tlip=::1\trip=::ffff:192.0.2.7\tsecured\tresp=AGE=",
                auth(
                    "PLAIN",
                    Parameters {
                        remote: "192.0.2.7".parse().ok(),
                        final_resp_ok: false,
                        initial: Some(b"AGE=".to_vec()),
                    },
                ),
            ),
            (
                b"AUTH\t7\tLOGIN\trip=x\tfinal-resp-ok\tfuture=y\tresp=",
                auth(
                    "LOGIN",
                    Parameters {
                        final_resp_ok: true,
                        ..Parameters::default()
                    },
                ),
            ),
            (b"AUTH\t7", None),
            (b"AUTH\t-7\tPLAIN", None),
            (b"AUTH\t+7\tPLAIN", None),
            (b"AUTH\t4294967296\tPLAIN", None),
            (
                b"CONT\t7\tAGE=",
                Some(Command::Cont {
                    id: 7,
                    response: b"AGE=".to_vec(),
                }),
            ),
            (b"CONT\t7", None),
            (b"CANCEL\t7", Some(Command::Cancel { id: 7 })),
            (b"USER\t1\tann\tservice=lda", user("ann")),
            (b"USER\t1\ta\x01tb\x011\x010\x01r\x01n\x01x", user("a\tb\x01\0\r\nx")),
            (b"USER\t1\ta\x01", None),
            (b"USER\t1\t\xff", None),
            (b"LIST\t3\tservice=x", Some(Command::List { id: 3 })),
            (b"FUTURE\tx", Some(Command::Unknown)),
            (b"", Some(Command::Unknown)),
        ] {
            assert_eq!(parse(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let name = "a\tb\x01c\0d\re\nf=\u{fc}";
        let mut written = Vec::new();
        line(["USER", "1", name], &mut written);
        assert_eq!(written.pop(), Some(b'\n'));
        assert!(!written.contains(&b'\n') && !written.contains(&0));
        let name = name.to_owned();
        assert_eq!(parse(&written), Some(Command::User { id: 1, name }));
    }
}
