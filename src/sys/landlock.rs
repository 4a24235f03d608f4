//! Landlock (landlock(7)): a process gives up the file system but for named trees, and the network.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const VERSION: libc::c_uint = 1;
const RULE_PATH_BENEATH: libc::c_int = 1;

#[repr(C)]
struct Ruleset {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent: i32,
}

/// The kernel's version of it; 0 where there is none.
pub(crate) fn version() -> u32 {
    // SAFETY: asks for the version: no memory is passed.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<Ruleset>(),
            0usize,
            VERSION,
        )
    };
    u32::try_from(version).unwrap_or(0)
}

/// Leaves this process only the trees in `allowed`, to read and write, and no new TCP
/// connection and no signal to others where the kernel can forbid them; nothing happens where the kernel has no Landlock.
/// Needs `no_new_privs`. Errors: a tree cannot be opened.
pub(crate) fn restrict(allowed: &[PathBuf]) -> io::Result<()> {
    let version = version();
    let access = match version {
        0 => return Ok(()),
        1 => (1u64 << 13) - 1,
        2 => (1 << 14) - 1,
        3 | 4 => (1 << 15) - 1,
        _ => (1 << 16) - 1,
    };
    let ruleset = Ruleset {
        handled_access_fs: access,
        handled_access_net: if version >= 4 { 3 } else { 0 },
        // Abstract unix sockets and signals.
        scoped: if version >= 6 { 3 } else { 0 },
    };
    let size = match version {
        0..4 => 8usize,
        4..6 => 16,
        _ => 24,
    };
    // SAFETY: the structure lives through the call and is as large as said.
    let made = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const ruleset,
            size,
            0 as libc::c_uint,
        )
    };
    let made = libc::c_int::try_from(made).unwrap_or(-1);
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let rules = unsafe { OwnedFd::from_raw_fd(made) };
    // Everything but executing.
    let rights = access & !1;
    for path in allowed {
        allow(&rules, path, rights)?;
    }
    // SAFETY: numbers only.
    let done = unsafe {
        libc::syscall(
            libc::SYS_landlock_restrict_self,
            rules.as_raw_fd(),
            0 as libc::c_uint,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn allow(rules: &OwnedFd, path: &std::path::Path, rights: u64) -> io::Result<()> {
    let text = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is a C string that lives through the call.
    let opened = unsafe { libc::open(text.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    if opened < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else owns.
    let parent = unsafe { OwnedFd::from_raw_fd(opened) };
    let rule = PathBeneath {
        allowed_access: rights,
        parent: parent.as_raw_fd(),
    };
    // SAFETY: the structure lives through the call.
    let added = unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            rules.as_raw_fd(),
            RULE_PATH_BENEATH,
            &raw const rule,
            0 as libc::c_uint,
        )
    };
    if added == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
