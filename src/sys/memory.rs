//! What of this process's memory the kernel may have back.

/// Gives memory that was freed back to the kernel, where the C library would keep it.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub(crate) fn give_back_memory() {
    // SAFETY: takes and returns a number; glibc locks its arenas itself.
    unsafe { libc::malloc_trim(0) };
}

/// Gives memory that was freed back to the kernel, where the C library would keep it. musl does that
/// when it is freed, if it is much.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back_memory() {}

/// Of a limit on memory, one part in so many is for work that was begun already.
const KEPT: usize = 8;

/// Whether something new may begin under a limit of so many octets: a part of them is still to be had
/// (see [`super::limits::memory`]). What was freed and kept is given back before the answer is no.
pub(crate) fn has_room(limit: usize) -> bool {
    let octets = limit / KEPT;
    if can_map(octets) {
        return true;
    }
    give_back_memory();
    // What lies free between what is used cannot be given back, but used again.
    can_map(octets) || can_allocate(octets)
}

/// Whether that much memory can be allocated now, as one piece.
pub(crate) fn can_allocate(octets: usize) -> bool {
    let mut probe: Vec<u8> = Vec::new();
    // Seen by somebody, so that it is really asked for.
    std::hint::black_box(&mut probe)
        .try_reserve_exact(octets)
        .is_ok()
}

#[allow(unsafe_code)]
fn can_map(octets: usize) -> bool {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at a place that the kernel chooses, which nobody touches before it is
    // taken away again.
    unsafe {
        let mapped = libc::mmap(std::ptr::null_mut(), octets, access, kind, -1, 0);
        mapped != libc::MAP_FAILED && libc::munmap(mapped, octets) == 0
    }
}

/// So many octets of zeros for the rest of the process's life, which take memory only where they are
/// touched: what the allocator has it fills.
#[allow(unsafe_code)]
pub(crate) fn untouched(octets: usize) -> &'static mut [u8] {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at a place that the kernel chooses, of that size, zero, and nobody else's.
    unsafe {
        let mapped = libc::mmap(std::ptr::null_mut(), octets, access, kind, -1, 0);
        if mapped != libc::MAP_FAILED {
            return std::slice::from_raw_parts_mut(mapped.cast(), octets);
        }
    }
    Vec::leak(vec![0; octets])
}

/// All threads of this process allocate from one heap: what one of them frees another can use. To be
/// called before there are others.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub(crate) fn one_heap() {
    // SAFETY: takes and returns numbers.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Other libcs have one heap anyway.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn one_heap() {}

/// From so many octets on what is allocated is mapped apart, and given back when it is freed. The C library
/// would raise that number as it goes, until holes of its heap count against a limit for ever.
#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
pub(crate) fn map_apart(octets: i32) {
    // SAFETY: takes and returns numbers.
    unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, octets) };
}

/// Other libcs do that anyway.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn map_apart(_octets: i32) {}

/// What a page of memory has; none if the libc does not say. Not rustix's `page_size`: before Linux 6.4 that
/// reads `/proc`, which a role cannot see any more, and panics.
#[allow(unsafe_code)]
fn page_octets() -> Option<usize> {
    // SAFETY: takes and returns numbers.
    let octets = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(octets)
        .ok()
        .filter(|page| page.is_power_of_two())
}

/// Takes the code and constants of this executable out of the process's page table: what only the
/// start needed is not counted as its memory for ever, what is needed comes back from the page
/// cache when it is. To be called once there is nothing to do for a while.
#[allow(unsafe_code)]
pub(crate) fn give_back_code() {
    // SAFETY: the function is called with what the libc knows of the executable, while it is there.
    unsafe { libc::dl_iterate_phdr(Some(give_back_segments), std::ptr::null_mut()) };
}

/// Gives back the segments of one object that nobody writes, and ends the iteration: the first object is the
/// executable. Segment by segment, because between them may be holes (of up to 64 KiB where pages may be that
/// large), and the kernel gives addresses in them to whoever maps memory: heap and stacks lie there.
#[allow(unsafe_code)]
unsafe extern "C" fn give_back_segments(
    object: *mut libc::dl_phdr_info,
    _octets: usize,
    _nothing: *mut libc::c_void,
) -> libc::c_int {
    let Some(page) = page_octets() else { return 1 };
    // SAFETY: the libc says so of both: an object, and as many headers as it has.
    let (base, headers) = unsafe {
        let object = &*object;
        let count = usize::from(object.dlpi_phnum);
        (
            object.dlpi_addr as usize,
            std::slice::from_raw_parts(object.dlpi_phdr, count),
        )
    };
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        // Only pages that are the segment's as a whole.
        let first = base.wrapping_add(header.p_vaddr as usize);
        let start = first.next_multiple_of(page);
        let end = first.wrapping_add(header.p_memsz as usize) & !(page - 1);
        let length = end.saturating_sub(start);
        // SAFETY: nobody ever writes there (no relocations go there), so the pages are those of the file, and
        // the kernel reads them from it again.
        unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
    1
}

#[cfg(test)]
mod tests {
    /// Octets of the executable's code in memory.
    fn code_in_memory() -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let own = std::env::current_exe().unwrap();
        let mut counts = false;
        let mut sum = 0;
        for line in maps.lines() {
            if line.contains(" r-xp ") || line.contains(" r--p ") || line.contains(" rw-p ") {
                counts = line.contains(" r-xp ") && line.ends_with(own.to_str().unwrap());
            } else if let Some(rest) = line.strip_prefix("Rss:").filter(|_| counts) {
                sum += rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
        }
        sum
    }

    #[test]
    fn what_is_asked_for_is_asked_for() {
        assert!(super::can_allocate(1 << 20) && super::has_room(1 << 20));
        assert!(!super::can_allocate(usize::MAX / 2));
        assert!(!super::has_room(usize::MAX));
    }

    #[test]
    fn what_is_not_touched_takes_no_memory() {
        const OCTETS: usize = 64 << 20;
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("VmRSS:"));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number.unwrap().parse::<usize>().unwrap() << 10
        };
        let before = resident();
        let octets = super::untouched(OCTETS);
        assert!(octets.len() == OCTETS && octets[OCTETS - 1] == 0);
        octets[0] = 1;
        assert!(resident() < before + OCTETS / 2);
    }

    #[test]
    fn code_goes_and_comes_back() {
        super::one_heap();
        let before = code_in_memory();
        super::give_back_code();
        let after = code_in_memory();
        assert!(after < before, "{after} of {before} KiB");
        let text: Vec<String> = (0..100).map(|n| format!("{n:>5}")).collect();
        assert_eq!(text.concat().len(), 500);
    }
}
