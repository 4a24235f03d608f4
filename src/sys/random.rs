//! Where random numbers come from.

/// Whether this kernel gives random numbers only through a file: Linux before 3.17 has no getrandom(2).
pub(crate) fn needs_file() -> bool {
    // SAFETY: asks for nothing; no memory is written.
    let asked = unsafe {
        libc::syscall(
            libc::SYS_getrandom,
            std::ptr::null_mut::<u8>(),
            0usize,
            0u32,
        )
    };
    asked < 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn kernels_of_today_need_no_file() {
        let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = version.split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        let version = (numbers.next(), numbers.next());
        assert_eq!(super::needs_file(), version < (Some(3), Some(17)));
    }
}
