//! `dovecot.list.index`: what mailboxes are called whose directories are named by their GUIDs.

use super::load::load;
use super::octets::{octets, u32_at};
use crate::mail::{Guid, MailboxName};
use crate::store::Error;
use std::collections::HashMap;
use std::path::Path;

/// The extension with the names, and that of a mailbox.
const LIST: &str = "list";
/// Octets before the first name.
const LEAD: usize = 1;

/// The GUIDs of mailboxes and the parts of their names, in modified UTF-7, with `/` between them, in no order;
/// empty if there is no such index. Errors: `Corrupt`.
pub(in super::super) fn listed(root: &Path) -> Result<Vec<(Guid, Vec<u8>)>, Error> {
    let Some(index) = load(root, "dovecot.list.index", &[LIST])? else {
        return Ok(Vec::new());
    };
    let names = names(index.extension_header(LIST));
    let record = |uid: u32| {
        let record = index.record(LIST, uid)?;
        let name = *names.get(&u32_at(record, 0)?)?;
        Some((name, u32_at(record, 4)?, octets::<16>(record, 8)?))
    };
    let whole = |uid: u32| {
        let (name, mut above, guid) = record(uid).filter(|(.., guid)| *guid != [0; 16])?;
        let mut parts = vec![name];
        // One part more than a name has is seen to be none.
        while above != 0 && parts.len() <= MailboxName::MAX_DEPTH {
            let (name, next, _) = record(above)?;
            parts.push(name);
            above = next;
        }
        parts.reverse();
        Some((Guid(guid), parts.join(&b'/')))
    };
    Ok(index.rows.keys().filter_map(|uid| whole(*uid)).collect())
}

/// Names by their numbers.
fn names(header: &[u8]) -> HashMap<u32, &[u8]> {
    let mut names = HashMap::new();
    let mut rest = header.get(LEAD..).unwrap_or_default();
    while let Some(number) = u32_at(rest, 0).filter(|number| *number != 0) {
        let text = rest.get(4..).unwrap_or_default();
        let Some(end) = memchr::memchr(0, text) else {
            break;
        };
        let (name, behind) = text.split_at(end);
        names.insert(number, name);
        rest = behind.get(1..).unwrap_or_default();
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::Written;
    use super::*;

    #[test]
    fn names_are_put_together() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        assert_eq!(listed(root).unwrap(), []);
        let header = b"\0\x01\0\0\0work\0\x02\0\0\0deep\0\x03\0\0\0&ANw-\0\0\0\0\0";
        let mut log = Written::new(1_700_000_000, 1);
        log.put_header(LIST, (28, 4), header);
        // The first has no mailbox of its own, two are above each other, and one has no name.
        let rows = [
            (1, 1, 0, 0),
            (2, 2, 1, 7),
            (3, 3, 2, 8),
            (4, 1, 5, 9),
            (5, 1, 4, 6),
            (6, 9, 0, 5),
        ];
        log.append(&rows.map(|row| (row.0, 0)));
        let records = rows.map(|(uid, name, above, guid)| {
            let mut record = [0; 28];
            record[0] = name;
            record[4] = above;
            record[8..24].fill(guid);
            (uid, record)
        });
        log.put_records(LIST, 4, &records);
        std::fs::write(root.join("dovecot.list.index.log"), log.finish(7)).unwrap();
        let mut all = listed(root).unwrap();
        all.sort_by_key(|(guid, _)| guid.0);
        let (endless, named): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, name)| name.len() > 99);
        assert_eq!(endless.len(), 2);
        let named: Vec<(u8, &[u8])> = named
            .iter()
            .map(|(guid, name)| (guid.0[0], &**name))
            .collect();
        assert_eq!(named, [(7, &b"work/deep"[..]), (8, b"work/deep/&ANw-")]);
    }
}
