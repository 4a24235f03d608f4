//! Handing a Maildir over to Dovecot, which reads all of it as it is but keywords for which there is no letter: those
//! Dovecot has in its index alone.

use super::store::Maildir;
use super::takeover::{adopt, beyond_there, validity_in};
use crate::config::Form;
use crate::mail::{MailboxName, UidSet};
use crate::store::adopt::{Adopted, Found};
use crate::store::dovecot::{Written, put_log};
use crate::store::side::beyond::{self, Beyond};
use crate::store::{Error, Scanned, Store};
use std::path::Path;

/// Looks at all mailboxes and tells `each`; has Dovecot's indexes say which messages have keywords without letters,
/// unless `dry` or something is in the way.
pub(crate) fn hand_back(
    root: &Path,
    form: &Form,
    dry: bool,
    each: &mut dyn FnMut(&Adopted),
) -> Result<Found, Error> {
    let found = adopt(root, form, true, each)?;
    if dry || !found.obstacles.is_empty() {
        return Ok(found);
    }
    let mut store = Maildir::open(root, form.layout)?;
    for mailbox in &found.mailboxes {
        hand_over(&mut store, &mailbox.name)?;
    }
    Ok(found)
}

fn hand_over(store: &mut Maildir, name: &MailboxName) -> Result<(), Error> {
    let path = store.path(name)?;
    // Of those that nobody took over the index has the last word.
    let (Some(validity), true) = (validity_in(&path)?, beyond::is_kept(&path)) else {
        return Ok(());
    };
    let mut own = beyond::read_of(&path, validity)?.unwrap_or_default();
    let scanned = store.scan(name)?;
    let all: UidSet = scanned.found.iter().filter_map(|found| found.uid).collect();
    for (_, uids) in &mut own {
        *uids = uids.intersection(&all);
    }
    own.retain(|(_, uids)| !uids.is_empty());
    let is_there = match beyond_there(&path, validity, &scanned.state.keywords) {
        Err(Error::Corrupt { .. }) => false,
        theirs => is_same(&own, &theirs?.unwrap_or_default()),
    };
    if !is_there {
        put_log(&path, "dovecot.index", &written(&scanned, &own))?;
    }
    beyond::agree(&path, validity, &own)
}

fn is_same(own: &Beyond, theirs: &Beyond) -> bool {
    own.len() == theirs.len() && own.iter().all(|keyword| theirs.contains(keyword))
}

/// The log of an index that says what there is.
fn written(scanned: &Scanned, beyond: &Beyond) -> Vec<u8> {
    let state = &scanned.state;
    let now = u32::try_from(crate::sys::clock::now_seconds()).unwrap_or(0);
    let mut log = Written::new(now, state.uid_validity.number());
    let listed = || {
        scanned
            .found
            .iter()
            .filter_map(|found| Some((found.uid?, &found.blob)))
    };
    let rows: Vec<(u32, u8)> = listed()
        .map(|(uid, blob)| (uid.number(), blob.flags.bits()))
        .collect();
    log.append(&rows);
    for (at, keyword) in state.keywords.iter().enumerate() {
        let with = listed().filter(|(_, blob)| blob.letters >> at & 1 == 1);
        let uids: UidSet = with.map(|(uid, _)| uid).collect();
        if let Some(keyword) = keyword.as_ref().filter(|_| !uids.is_empty()) {
            log.put_keyword(keyword.as_str(), uids.runs());
        }
    }
    for (keyword, uids) in beyond {
        log.put_keyword(keyword.as_str(), uids.runs());
    }
    log.finish(state.uid_next.number())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layout;
    use crate::mail::{Keyword, Uid, UidValidity};
    use crate::store::dovecot;
    use std::fs;

    #[test]
    fn keywords_without_letters_are_handed_over() {
        // Nothing of them was written, nor told to be lost.
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        drop(Maildir::open(root, Layout::Dotted).unwrap());
        fs::write(root.join("cur/1.a:2,Sb"), "one\n").unwrap();
        fs::write(root.join("cur/2.b:2,"), "two\n").unwrap();
        fs::write(root.join("dovecot-keywords"), "0 k0\n1 k1\n").unwrap();
        fs::write(root.join("dovecot-uidlist"), "3 V7 N9\n4 :1.a\n6 :2.b\n").unwrap();
        fs::write(root.join("dovecot.index.cache"), "").unwrap();
        let form = Form::default();
        let given = |dry| {
            let done = hand_back(root, &form, dry, &mut |_| ()).unwrap();
            assert!(done.obstacles.is_empty(), "{done:?}");
            dovecot::load(root, "dovecot.index", &[]).unwrap()
        };
        assert!(given(false).is_none());
        let uids = |all: &[u32]| -> UidSet { all.iter().filter_map(|n| Uid::new(*n)).collect() };
        let name = |name: &str| Keyword::new(name).unwrap();
        let mut own = vec![(name("k26"), uids(&[6, 8])), (name("k27"), uids(&[5]))];
        let validity = UidValidity::new(7).unwrap();
        beyond::write_of(root, validity, &own).unwrap();
        assert!(given(true).is_none());
        let index = given(false).unwrap();
        assert_eq!((index.uid_validity(), index.next_uid()), (7, 9));
        let of = |index: &dovecot::Index, uid: u32| -> Vec<String> {
            let numbers = index.rows[&uid].keywords.iter();
            numbers
                .map(|n| index.keywords[usize::from(*n)].to_string())
                .collect()
        };
        assert_eq!(
            (of(&index, 4), of(&index, 6)),
            (vec!["k1".into()], vec!["k26".into()])
        );
        assert!(!root.join("dovecot.index.cache").exists());
        // What is known there already is left alone, what went is taken away.
        let before = fs::read(root.join("dovecot.index.log")).unwrap();
        given(false);
        assert_eq!(fs::read(root.join("dovecot.index.log")).unwrap(), before);
        own.remove(0);
        beyond::write_of(root, validity, &own).unwrap();
        assert_eq!(of(&given(false).unwrap(), 6), [""; 0]);
    }
}
