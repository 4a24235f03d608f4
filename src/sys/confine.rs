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

/// What the process that starts the others needs of root's rights: to give directories to their owners,
/// to end others, to bind low ports, and to make directories as their owners (the ids of files).
const OWN: [u32; 7] = [
    0,  // CAP_CHOWN
    1,  // CAP_DAC_OVERRIDE: users files, keys and directories of mail are closed for root, too
    3,  // CAP_FOWNER: a directory that gets another owner gets its mode as well
    5,  // CAP_KILL
    6,  // CAP_SETGID
    7,  // CAP_SETUID
    10, // CAP_NET_BIND_SERVICE
];
/// What only those need that it starts, until they are locked up.
const PASSED_ON: u32 = 18; // CAP_SYS_CHROOT

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Capabilities {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// As root: keeps only the capabilities (capabilities(7)) that starting roles takes; without effect for
/// others. For this process and all it starts, for good.
pub(crate) fn keep_few_rights() -> io::Result<()> {
    if rustix::process::geteuid().as_raw() != 0 {
        return Ok(());
    }
    // SAFETY: prctl with numbers only; the structures live through the calls and are as large as
    // version 3 of the interface has them.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        // Of what is exec'd by root too, until the kernel knows no more.
        for capability in (0..64u32).filter(|c| !OWN.contains(c) && *c != PASSED_ON) {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                break;
            }
        }
        let header = CapabilityHeader {
            version: 0x2008_0522,
            pid: 0,
        };
        let mut current = [Capabilities {
            effective: 0,
            permitted: 0,
            inheritable: 0,
        }; 2];
        let done = libc::syscall(libc::SYS_capget, &raw const header, current.as_mut_ptr());
        check(libc::c_int::try_from(done).unwrap_or(-1))?;
        let own = OWN
            .iter()
            .fold(0, |mask, capability| mask | 1 << capability);
        let masks = [(own | 1 << PASSED_ON, own), (0, 0)];
        for (one, (permitted, effective)) in current.iter_mut().zip(masks) {
            one.permitted &= permitted;
            one.effective = one.permitted & effective;
            one.inheritable = 0;
        }
        let done = libc::syscall(libc::SYS_capset, &raw const header, current.as_ptr());
        check(libc::c_int::try_from(done).unwrap_or(-1))
    }
}
