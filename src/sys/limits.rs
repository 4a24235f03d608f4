//! Resource limits of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of open files to `wanted` or as near as the hard limit lets; returns what holds now.
pub(crate) fn open_files(wanted: u64) -> u64 {
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let current = now.current.unwrap_or(u64::MAX);
    let soft = wanted.min(hard).max(current);
    let limit = Rlimit {
        current: Some(soft),
        maximum: now.maximum,
    };
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => soft,
        Err(_) => current,
    }
}

/// Bounds what this process can write to and shares with nobody: heap, stacks, what is mapped (Linux before
/// 4.7: the heap alone). Beyond that an allocation fails, and with it the process. Errors: the limit
/// that holds is lower and cannot be raised.
pub(crate) fn memory(octets: usize) -> std::io::Result<()> {
    let octets = u64::try_from(octets).ok();
    let limit = Rlimit {
        current: octets,
        maximum: octets,
    };
    Ok(setrlimit(Resource::Data, limit)?)
}

/// No memory image of a process that held passwords or mail is ever written.
pub(crate) fn no_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).ok();
}

#[cfg(test)]
mod tests {
    #[test]
    fn open_files_never_sink() {
        let before = super::open_files(0);
        assert!(before > 0);
        assert!(super::open_files(before) >= before);
    }
}
