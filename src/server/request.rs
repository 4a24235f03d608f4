//! What the command line asks of a running server, over `run/control` below its data directory.
//!
//! One line of words with tabs between them; the answer is lines that begin with `- ` and one last
//! line, `ok` or `failed` with what more there is to say. Only the owner of the server can connect.

use super::control::Owner;
use super::lmtp::{COMMIT, frame};
use super::visit::Visit;
use crate::deliver::{Envelope, Outcome};
use crate::mailbox::{Care, Report};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The socket, below the data directory.
pub(super) const SOCKET: &str = "run/control";
/// Octets of the longest line asked with.
pub(super) const MAX_OCTETS: usize = 8 * 1024;
/// What the server says before something else follows.
pub(super) const READY: &[u8; 8] = b"- ready\n";
/// How long a server may be silent; a large mailbox takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Users and certificates are read anew.
    Reload,
    /// Something is done for the mail of this user.
    Care { owner: Owner, care: Care },
    /// Somebody visits the mail of this user, once the server is ready.
    Visit { owner: Owner },
    /// A message is delivered to this user; it follows once the server is ready.
    Deliver {
        owner: Owner,
        address: String,
        mailbox: Option<String>,
    },
}

impl Asked {
    /// The line, with its end.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Asked::Reload => b"reload\n".to_vec(),
            Asked::Care { owner, care } => format!("{}{}\n", care.word(), of(owner)).into_bytes(),
            Asked::Visit { owner } => format!("visit{}\n", of(owner)).into_bytes(),
            Asked::Deliver {
                owner,
                address,
                mailbox,
            } => {
                let mailbox = mailbox.as_deref().unwrap_or_default();
                format!("deliver{}\t{address}\t{mailbox}\n", of(owner)).into_bytes()
            }
        }
    }

    /// `None` for anything else.
    pub(super) fn decode(line: &[u8]) -> Option<Asked> {
        let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
        let words: Vec<&str> = text.split('\t').collect();
        match words.as_slice() {
            ["reload"] => Some(Asked::Reload),
            ["deliver", name, uid, gid, home, mail, address, mailbox] => Some(Asked::Deliver {
                owner: owner([name, uid, gid, home, mail])?,
                address: (*address).to_owned(),
                mailbox: Some((*mailbox).to_owned()).filter(|mailbox| !mailbox.is_empty()),
            }),
            ["visit", name, uid, gid, home, mail] => Some(Asked::Visit {
                owner: owner([name, uid, gid, home, mail])?,
            }),
            [word, name, uid, gid, home, mail] => Some(Asked::Care {
                owner: owner([name, uid, gid, home, mail])?,
                care: Care::named(word)?,
            }),
            _ => None,
        }
    }
}

/// The words for a user, each with a tab in front.
fn of(owner: &Owner) -> String {
    let number = |id: Option<u32>| id.map_or(String::new(), |id| id.to_string());
    let (uid, gid) = (number(owner.uid), number(owner.gid));
    let home = owner.home.as_deref().unwrap_or(Path::new("")).display();
    let mail = owner.mail.as_deref().unwrap_or_default();
    format!("\t{}\t{uid}\t{gid}\t{home}\t{mail}", owner.name)
}

fn owner([name, uid, gid, home, mail]: [&str; 5]) -> Option<Owner> {
    Some(Owner {
        name: name.to_owned(),
        uid: id(uid)?,
        gid: id(gid)?,
        home: Some(PathBuf::from(home)).filter(|home| !home.as_os_str().is_empty()),
        mail: (!mail.is_empty()).then(|| Box::from(mail)),
    })
}

/// A number, or none; `None` for what is neither.
fn id(word: &str) -> Option<Option<u32>> {
    match word {
        "" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

/// Has the server that runs over this data directory read users and certificates anew. False if
/// none runs there. Errors: it cannot be asked, or did not answer.
pub(crate) fn reload(data_dir: &Path) -> io::Result<bool> {
    match connect(data_dir)? {
        Some(stream) => ask(stream, &Asked::Reload, &mut |_| ()).map(|_| true),
        None => Ok(false),
    }
}

/// A user whose mail a running server is to care for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patient<'a> {
    pub(crate) name: &'a str,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) home: Option<&'a Path>,
    /// As [`crate::auth::User::mail`].
    pub(crate) mail: Option<&'a str>,
}

/// Has the server that runs over this data directory care for a user's mail; what it tells goes to
/// `each`. False if none runs there. Errors: it cannot be asked, or what it says went wrong.
pub(crate) fn care_for(
    data_dir: &Path,
    user: Patient<'_>,
    care: Care,
    each: &mut dyn FnMut(Report),
) -> io::Result<bool> {
    let Some(stream) = connect(data_dir)? else {
        return Ok(false);
    };
    let owner = Owner::from(user);
    let asked = Asked::Care { owner, care };
    let mut each = |line: &str| Report::decode(line).into_iter().for_each(&mut *each);
    ask(stream, &told(asked)?, &mut each).map(|()| true)
}

/// What can be told. Errors: it has characters that cannot.
fn told(asked: Asked) -> io::Result<Asked> {
    if Asked::decode(&asked.encode()).as_ref() == Some(&asked) {
        return Ok(asked);
    }
    let what = "an address or a directory has characters that a running server cannot be told";
    Err(io::Error::new(ErrorKind::InvalidInput, what))
}

impl From<Patient<'_>> for Owner {
    fn from(user: Patient<'_>) -> Owner {
        Owner {
            name: user.name.to_owned(),
            uid: user.uid,
            gid: user.gid,
            home: user.home.map(Path::to_owned),
            mail: user.mail.map(Box::from),
        }
    }
}

/// Has the server that runs over this data directory deliver a message, which has all fields it needs, to a user.
/// `mailbox`: where to, if there is one of that name. `None` if no server runs there; then nothing was read.
/// Errors: it cannot be asked (`PermissionDenied`, and nothing was read), or did not answer.
pub(crate) fn deliver(
    data_dir: &Path,
    user: Patient<'_>,
    address: &str,
    mailbox: Option<&str>,
    message: &mut dyn Read,
) -> io::Result<Option<Outcome>> {
    let Some(mut stream) = connect(data_dir)? else {
        return Ok(None);
    };
    let asked = told(Asked::Deliver {
        owner: Owner::from(user),
        address: address.to_owned(),
        mailbox: mailbox.map(str::to_owned),
    })?;
    begin(&mut stream, &asked)?;
    let envelope = Envelope {
        complete: true,
        ..Envelope::default()
    };
    let mut frames = Vec::new();
    frame(&envelope.encode(), &mut frames);
    let mut piece = vec![0; 32 * 1024];
    loop {
        let count = message.read(&mut piece)?;
        if count == 0 {
            break;
        }
        frame(piece.get(..count).unwrap_or_default(), &mut frames);
        stream.write_all(&frames)?;
        frames.clear();
    }
    frames.extend_from_slice(&COMMIT.to_le_bytes());
    stream.write_all(&frames)?;
    let mut outcome = [0];
    stream.read_exact(&mut outcome)?;
    let [outcome] = outcome;
    Ok(Some(Outcome::from_byte(outcome)))
}

/// Visits the mail of a user in the engine of the server that runs over this data directory. `None` if no server
/// runs there. Errors: it cannot be asked (`PermissionDenied`), or has no engine for this user.
pub(crate) fn visit(data_dir: &Path, user: Patient<'_>) -> io::Result<Option<Visit>> {
    let Some(mut stream) = connect(data_dir)? else {
        return Ok(None);
    };
    let owner = Owner::from(user);
    begin(&mut stream, &told(Asked::Visit { owner })?)?;
    Visit::new(stream).map(Some)
}

/// Asks, and waits until the server is ready for what follows.
fn begin(stream: &mut UnixStream, asked: &Asked) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&asked.encode())?;
    let mut answer = [0; READY.len()];
    stream.read_exact(&mut answer)?;
    match answer == *READY {
        true => Ok(()),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn connect(data_dir: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(data_dir.join(SOCKET)) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(None),
            _ => Err(error),
        },
    }
}

fn ask(mut stream: UnixStream, asked: &Asked, each: &mut dyn FnMut(&str)) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&asked.encode())?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if let Some(told) = line.strip_prefix("- ") {
            each(told);
        } else if line == "ok" {
            return Ok(());
        } else {
            let why = line.strip_prefix("failed ").unwrap_or(&line);
            return Err(io::Error::other(why.to_owned()));
        }
    }
    Err(io::Error::new(
        ErrorKind::UnexpectedEof,
        "the server, or the engine of this user, ended before it answered; try again",
    ))
}

/// The line that somebody who connected asks with; waits a moment for it. `None` if none came.
pub(super) fn receive(stream: &mut UnixStream) -> Option<Asked> {
    let patience = Some(Duration::from_secs(1));
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(patience).ok()?;
    stream.set_write_timeout(patience).ok()?;
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_OCTETS).unwrap_or(u64::MAX);
    BufReader::new(stream.take(limit))
        .read_until(b'\n', &mut line)
        .ok()?;
    Asked::decode(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_their_lines() {
        let owner = Owner {
            name: "ann@example.org".to_owned(),
            uid: Some(1000),
            gid: None,
            home: Some(PathBuf::from("/home/ann b")),
            mail: Some("mail=mbox:~/m".into()),
        };
        let check = |care| Asked::Care {
            owner: owner.clone(),
            care,
        };
        for (asked, line) in [
            (Asked::Reload, "reload\n"),
            (
                check(Care::Check),
                "check\tann@example.org\t1000\t\t/home/ann b\tmail=mbox:~/m\n",
            ),
            (
                check(Care::Rebuild),
                "rebuild\tann@example.org\t1000\t\t/home/ann b\tmail=mbox:~/m\n",
            ),
            (
                check(Care::Purge),
                "purge\tann@example.org\t1000\t\t/home/ann b\tmail=mbox:~/m\n",
            ),
            (
                Asked::Visit {
                    owner: owner.clone(),
                },
                "visit\tann@example.org\t1000\t\t/home/ann b\tmail=mbox:~/m\n",
            ),
            (
                Asked::Deliver {
                    owner: owner.clone(),
                    address: "ann+x@y".to_owned(),
                    mailbox: Some("x/y z".to_owned()),
                },
                "deliver\tann@example.org\t1000\t\t/home/ann b\tmail=mbox:~/m\tann+x@y\tx/y z\n",
            ),
        ] {
            assert_eq!(asked.encode(), line.as_bytes());
            assert_eq!(Asked::decode(line.as_bytes()), Some(asked));
        }
        for line in [
            "",
            "reload",
            "reload\tx\n",
            "check\ta\tb\t\t\t\n",
            "check\ta\n",
            "cure\ta\t\t\t\t\n",
            "deliver\ta\t\t\t\t\n",
            "\u{1}\n",
        ] {
            assert_eq!(Asked::decode(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn nobody_answers_where_no_server_runs() {
        let directory = tempfile::tempdir().unwrap();
        assert!(!reload(directory.path()).unwrap());
    }
}
