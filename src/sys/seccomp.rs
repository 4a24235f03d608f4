//! seccomp(2): system calls that no role needs answer EPERM, whatever happens to the process.

use std::io;

/// Sets of calls that a role can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// No new connections, no programs, no tracing, no kernel administration.
    Engine,
    /// As `Engine`, and no files either.
    NoFiles,
}

/// Calls that run programs, look into others, change rights or the system, or make connections.
const DANGEROUS: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_userfaultfd,
    libc::SYS_open_by_handle_at,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_acct,
    libc::SYS_personality,
    // io_uring_setup, io_uring_enter, io_uring_register: the same numbers everywhere but on MIPS,
    // where the offset of the ABI is added.
    IO_URING,
    IO_URING + 1,
    IO_URING + 2,
];

#[cfg(not(any(target_arch = "mips", target_arch = "mips64")))]
const IO_URING: libc::c_long = 425;
#[cfg(target_arch = "mips")]
const IO_URING: libc::c_long = 4425;
#[cfg(target_arch = "mips64")]
const IO_URING: libc::c_long = 5425;

/// Calls that reach into the file system.
const FILES: &[libc::c_long] = &[
    libc::SYS_openat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    libc::SYS_open,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    libc::SYS_creat,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    libc::SYS_unlink,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    libc::SYS_rename,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    libc::SYS_mkdir,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    libc::SYS_link,
    #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
    libc::SYS_symlink,
];

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "arm")]
const ARCHITECTURE: u32 = 0x4000_0028;
#[cfg(target_arch = "x86")]
const ARCHITECTURE: u32 = 0x4000_0003;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;
/// Of others it is not known: no filter there.
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "x86",
    target_arch = "riscv64"
)))]
const ARCHITECTURE: u32 = 0;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;

fn step(code: u16, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: yes,
        jf: no,
        k,
    }
}

/// The program of a filter: refuses foreign architectures and the calls named.
fn program(filter: Filter) -> Vec<libc::sock_filter> {
    let files: &[libc::c_long] = match filter {
        Filter::Engine => &[],
        Filter::NoFiles => FILES,
    };
    let mut program = vec![
        step(LOAD, 4, 0, 0),
        step(EQUAL, ARCHITECTURE, 1, 0),
        step(RETURN, REFUSE, 0, 0),
        step(LOAD, 0, 0, 0),
    ];
    if cfg!(target_arch = "x86_64") {
        // The x32 ABI has the same architecture and other numbers.
        program.push(step(AT_LEAST, 0x4000_0000, 0, 1));
        program.push(step(RETURN, REFUSE, 0, 0));
    }
    for call in DANGEROUS.iter().chain(files) {
        let number = u32::try_from(*call).unwrap_or(u32::MAX);
        program.push(step(EQUAL, number, 0, 1));
        program.push(step(RETURN, REFUSE, 0, 0));
    }
    program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    program
}

/// Puts the filter on this process and its future threads; `false` where the kernel or the
/// architecture has none. Needs `no_new_privs`.
pub(crate) fn restrict(filter: Filter) -> io::Result<bool> {
    if ARCHITECTURE == 0 {
        return Ok(false);
    }
    let mut steps = program(filter);
    let program = libc::sock_fprog {
        len: u16::try_from(steps.len()).unwrap_or(0),
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: the program lives through the call and has as many steps as said.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
            0,
            0,
        )
    };
    match done {
        0 => Ok(true),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => Ok(false),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_fit() {
        for filter in [Filter::Engine, Filter::NoFiles] {
            let length = program(filter).len();
            assert!(length > 50 && length < 4096, "{length}");
        }
    }
}
