//! Accounts of this machine, read from its passwd file as text: nothing is linked or run for it.

/// Numbers of a user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Identity {
    /// Whom this process runs as.
    pub(crate) fn own() -> Identity {
        Identity {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    pub(crate) fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// The account of that name in this machine's `/etc/passwd`; `None` if there is none.
pub(crate) fn named(name: &str) -> Option<Identity> {
    find(&std::fs::read_to_string("/etc/passwd").ok()?, name)
}

/// The number of the group of that name in this machine's `/etc/group`; `None` if there is none.
pub(crate) fn group(name: &str) -> Option<u32> {
    // Of a line of it the third field is the number, as of one of the passwd file.
    let fields = |line: &str| -> Option<u32> {
        let mut fields = line.split(':');
        let own = fields.next()?;
        fields.nth(1)?.parse().ok().filter(|_| own == name)
    };
    std::fs::read_to_string("/etc/group")
        .ok()?
        .lines()
        .find_map(fields)
}

fn find(passwd: &str, name: &str) -> Option<Identity> {
    let fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))?;
    Some(Identity {
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\nbad:x:y:z\n";
        let ann = Identity {
            uid: 1000,
            gid: 1001,
        };
        assert_eq!(find(passwd, "ann"), Some(ann));
        assert_eq!(find(passwd, "an"), None);
        assert_eq!(find(passwd, "bad"), None);
        assert!(named("root").is_none_or(Identity::is_root));
        assert!(group("root").is_none_or(|gid| gid == 0));
        assert_eq!(group("no such group"), None);
    }
}
