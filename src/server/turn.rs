//! A session's turn on a thread that may block.

use crate::protocol::{Output, Progress, Resident, Turn};
use std::io::Write;
use std::os::unix::net::UnixStream;

/// Outputs that are written in one turn before others have theirs.
const MAX_WRITES: u32 = 16;

/// Takes a turn. While the client takes what it is told, by a stream that takes it as it is, the session
/// goes on: to have the thread of all sessions write would cost two switches for each output. Leaves in
/// `out` what there was no room for. Whether anything was written.
pub(super) fn take(
    session: &mut dyn Resident,
    out: &mut Output,
    stream: Option<&UnixStream>,
) -> (Progress<()>, bool) {
    let mut writes = 0;
    loop {
        let progress = session.advance(Turn::Disk, out);
        let written = stream.is_some_and(|stream| write(stream, out));
        writes += u32::from(written);
        let goes_on = written && out.bytes().is_empty() && writes < MAX_WRITES;
        if !goes_on || !matches!(progress, Progress::Flush | Progress::Disk) {
            return (progress, writes > 0);
        }
    }
}

/// Writes what there is room for now, to a stream that does not block; true if that is anything. Whoever
/// writes the rest sees what failed.
fn write(mut stream: &UnixStream, out: &mut Output) -> bool {
    if out.bytes().is_empty() {
        return false;
    }
    let count = stream.write(out.bytes()).unwrap_or(0);
    out.forget(count);
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_has_no_room_is_left() {
        let (near, mut far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut out = Output::new();
        assert!(!write(&near, &mut out));
        out.put(&vec![b'x'; 8 << 20]);
        assert!(write(&near, &mut out));
        assert!(!write(&near, &mut out), "there is no room");
        let left = out.bytes().len();
        assert!(left > 0);
        let mut got = vec![0; (8 << 20) - left];
        far.read_exact(&mut got).unwrap();
        assert!(write(&near, &mut out));
        drop(far);
        assert!(!write(&near, &mut out) && !out.bytes().is_empty());
    }
}
