//! seccomp(2): which system calls a role can make, whatever happens to the process.

use std::io;

/// What a role may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// Everything but what is dangerous: no new connections, no programs, no tracing, no kernel
    /// administration. The calls of the file system are too many to name for every kernel and libc.
    Engine,
    /// Nothing but what it takes to serve descriptors that are there: no files either. The rest does
    /// not exist (ENOSYS), so that a libc falls back to what it did before such a call was.
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
    // Signals to others.
    libc::SYS_kill,
    NOT_FOR_ABORT,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    // Other ways to mount.
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // What goes through these rings passes no filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

#[cfg(not(target_arch = "mips"))]
const PREAD64: libc::c_long = libc::SYS_pread64;
/// Which the crate has forgotten there.
#[cfg(target_arch = "mips")]
const PREAD64: libc::c_long = 4200;

/// What abort(3) of the libc ends the process with, and what the other libc would.
#[cfg(target_env = "gnu")]
const FOR_ABORT: libc::c_long = libc::SYS_tgkill;
#[cfg(target_env = "gnu")]
const NOT_FOR_ABORT: libc::c_long = libc::SYS_tkill;
#[cfg(not(target_env = "gnu"))]
const FOR_ABORT: libc::c_long = libc::SYS_tkill;
#[cfg(not(target_env = "gnu"))]
const NOT_FOR_ABORT: libc::c_long = libc::SYS_tgkill;

/// Calls on descriptors, memory, threads and time; those that are made most come first.
const HARMLESS: &[libc::c_long] = &[
    libc::SYS_futex,
    libc::SYS_recvfrom,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_sendto,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_ioctl,
    libc::SYS_fcntl,
    libc::SYS_getrandom,
    libc::SYS_accept4,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_socketpair,
    libc::SYS_shutdown,
    libc::SYS_readv,
    PREAD64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_eventfd2,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_clone,
    libc::SYS_clone3,
    #[cfg(target_env = "gnu")]
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_membarrier,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_prlimit64,
    libc::SYS_prctl,
    libc::SYS_uname,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_restart_syscall,
    FOR_ABORT,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// More of them, which only older architectures have.
#[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
const OLDER: &[libc::c_long] = &[
    #[cfg(not(target_arch = "x86"))]
    libc::SYS_accept,
    #[cfg(not(target_arch = "arm"))]
    libc::SYS_getrlimit,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_poll,
    libc::SYS_dup2,
];
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64"))]
const OLDER: &[libc::c_long] = &[libc::SYS_accept];

/// More of them, which go by the width of a word.
#[cfg(target_pointer_width = "64")]
const WORD: &[libc::c_long] = &[libc::SYS_mmap, libc::SYS_newfstatat];
#[cfg(target_pointer_width = "32")]
const WORD: &[libc::c_long] = &[
    libc::SYS_mmap2,
    libc::SYS_fstat64,
    libc::SYS_fcntl64,
    libc::SYS__llseek,
    libc::SYS_sigreturn,
    #[cfg(any(target_arch = "x86", target_arch = "arm"))]
    libc::SYS_ugetrlimit,
    #[cfg(target_arch = "x86")]
    libc::SYS_set_thread_area,
    // Calls with 64-bit times.
    FIRST + 403, // clock_gettime64
    FIRST + 406, // clock_getres_time64
    FIRST + 407, // clock_nanosleep_time64
    FIRST + 414, // ppoll_time64
    FIRST + 422, // futex_time64
];

/// Where the numbers of the calls begin. Calls from 403 on have the same number everywhere, but for that.
#[cfg(target_pointer_width = "32")]
const FIRST: libc::c_long = if cfg!(target_arch = "mips") { 4000 } else { 0 };

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
#[cfg(all(target_arch = "mips", target_endian = "little"))]
const ARCHITECTURE: u32 = 0x4000_0008;
/// Of others it is not known: no filter there.
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "x86",
    target_arch = "riscv64",
    all(target_arch = "mips", target_endian = "little")
)))]
const ARCHITECTURE: u32 = 0;

/// On 32-bit x86 and on MIPS all socket calls are also one, which its first argument tells apart.
#[cfg(any(target_arch = "x86", target_arch = "mips"))]
const SOCKETCALL: Option<u32> = Some(libc::SYS_socketcall as u32);
#[cfg(not(any(target_arch = "x86", target_arch = "mips")))]
const SOCKETCALL: Option<u32> = None;
/// The first of them that is harmless: before it are socket, bind, connect and listen.
const ACCEPT: u32 = 5;

/// Where in `seccomp_data` the parts are: the number of the call, the architecture, the lower half of
/// the first argument (all of these architectures are little-endian).
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;
const ARGUMENT_AT: u32 = 16;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
const REFUSE: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ABSENT: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

fn step(code: u16, k: u32, yes: u8, no: u8) -> libc::sock_filter {
    libc::sock_filter {
        code,
        jt: yes,
        jf: no,
        k,
    }
}

/// The program of a filter: refuses foreign architectures, and what the filter does. `socketcall`: the
/// number of the call that is all socket calls, if there is one.
fn program(filter: Filter, socketcall: Option<u32>) -> Vec<libc::sock_filter> {
    let mut program = vec![
        step(LOAD, ARCHITECTURE_AT, 0, 0),
        step(EQUAL, ARCHITECTURE, 1, 0),
        step(RETURN, REFUSE, 0, 0),
        step(LOAD, NUMBER_AT, 0, 0),
    ];
    if cfg!(target_arch = "x86_64") {
        // The x32 ABI has the same architecture and other numbers.
        program.push(step(AT_LEAST, 0x4000_0000, 0, 1));
        program.push(step(RETURN, REFUSE, 0, 0));
    }
    if let Some(call) = socketcall {
        program.push(step(EQUAL, call, 0, 4));
        program.push(step(LOAD, ARGUMENT_AT, 0, 0));
        program.push(step(AT_LEAST, ACCEPT, 1, 0));
        program.push(step(RETURN, REFUSE, 0, 0));
        program.push(step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
    }
    let (named, to_named, to_rest): (Vec<libc::c_long>, u32, u32) = match filter {
        Filter::Engine => (DANGEROUS.to_vec(), REFUSE, libc::SECCOMP_RET_ALLOW),
        Filter::NoFiles => (
            [HARMLESS, OLDER, WORD].concat(),
            libc::SECCOMP_RET_ALLOW,
            ABSENT,
        ),
    };
    for call in named {
        let number = u32::try_from(call).unwrap_or(u32::MAX);
        program.push(step(EQUAL, number, 0, 1));
        program.push(step(RETURN, to_named, 0, 0));
    }
    program.push(step(RETURN, to_rest, 0, 0));
    program
}

/// Whether this kernel and architecture have filters.
pub(crate) fn is_supported() -> bool {
    // SAFETY: asks for a filter that is nowhere, which a kernel with filters finds a bad address.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            std::ptr::null::<libc::sock_fprog>(),
            0,
            0,
        )
    };
    let fault = io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT);
    ARCHITECTURE != 0 && done != 0 && fault
}

/// Puts the filter on this process and its future threads; nothing happens where the kernel or
/// the architecture has none. Needs `no_new_privs`.
pub(crate) fn restrict(filter: Filter) -> io::Result<()> {
    if ARCHITECTURE == 0 {
        return Ok(());
    }
    let mut steps = program(filter, SOCKETCALL);
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
        0 => Ok(()),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_fit() {
        for filter in [Filter::Engine, Filter::NoFiles] {
            let length = program(filter, Some(102)).len();
            assert!(length > 50 && length < 4096, "{length}");
        }
    }

    /// What the kernel would do with a call, as far as these programs go.
    fn verdict(program: &[libc::sock_filter], number: u32, argument: u32) -> u32 {
        let (mut at, mut value) = (0, 0);
        loop {
            let step = &program[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { step.jt } else { step.jf });
            match step.code {
                LOAD => {
                    value = match step.k {
                        NUMBER_AT => number,
                        ARCHITECTURE_AT => ARCHITECTURE,
                        ARGUMENT_AT => argument,
                        other => panic!("{other}"),
                    }
                }
                EQUAL => at += jump(value == step.k),
                AT_LEAST => at += jump(value >= step.k),
                RETURN => return step.k,
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn socket_calls_in_one_are_told_apart() {
        // On 32-bit x86 an engine could connect to anybody, by this call.
        const SOCKETCALL: u32 = 1000;
        let allow = libc::SECCOMP_RET_ALLOW;
        for filter in [Filter::Engine, Filter::NoFiles] {
            let program = super::program(filter, Some(SOCKETCALL));
            for call in 1..=20 {
                let expected = if call < 5 { REFUSE } else { allow };
                assert_eq!(verdict(&program, SOCKETCALL, call), expected, "{call}");
            }
            // All other calls go on as before.
            let without = super::program(filter, None);
            for number in (0..500).chain([0x4000_0000]) {
                let same = verdict(&program, number, 1) == verdict(&without, number, 1);
                assert!(same, "{filter:?} {number}");
            }
            let socket = u32::try_from(libc::SYS_socket).unwrap();
            assert_ne!(verdict(&without, socket, 0), allow);
            let recvmsg = u32::try_from(libc::SYS_recvmsg).unwrap();
            assert_eq!(verdict(&without, recvmsg, 0), allow);
        }
    }

    #[test]
    fn nothing_is_both_harmless_and_dangerous() {
        for call in [HARMLESS, OLDER, WORD].concat() {
            assert!(!DANGEROUS.contains(&call), "{call}");
        }
    }
}
