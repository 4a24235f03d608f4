//! Giving up rights.

use super::accounts::Identity;
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// As root: makes `root` the root directory if given, and becomes `identity` for good. Call
/// before any thread is made. Errors leave the process with too many rights: end it.
pub(crate) fn become_identity(identity: Identity, root: Option<&Path>) -> io::Result<()> {
    if let Some(root) = root {
        let path = CString::new(root.as_os_str().as_bytes())?;
        // SAFETY: the path is a C string that lives through the call.
        check(unsafe { libc::chroot(path.as_ptr()) })?;
        std::env::set_current_dir("/")?;
    }
    // SAFETY: plain system calls with numbers; no groups are named.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setgid(identity.gid))?;
        check(libc::setuid(identity.uid))?;
        // Only root could come back; this must fail now.
        if identity.uid != 0 && libc::setuid(0) == 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

/// No set-uid program gives rights back; no other process of this user looks inside; dies with its parent.
pub(crate) fn no_new_rights() -> io::Result<()> {
    // SAFETY: prctl with numbers only.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0))?;
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0))
    }
}
