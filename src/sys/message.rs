//! Messages with descriptors between processes (unix(7), SOCK_SEQPACKET and SCM_RIGHTS).

use super::memory;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Octets of one message.
pub(crate) const MAX_OCTETS: usize = 128 * 1024;
/// Descriptors of one message.
pub(crate) const MAX_DESCRIPTORS: usize = 32;

/// Two ends of a channel of messages.
pub(crate) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SocketType::SEQPACKET)
}

/// Two ends of a stream of bytes.
pub(crate) fn stream() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(SocketType::STREAM)
}

fn pair(kind: SocketType) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        kind,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message. Errors: `WouldBlock` on a full non-blocking channel, `BrokenPipe` when the
/// other side is gone, `InvalidInput` over [`MAX_OCTETS`] or [`MAX_DESCRIPTORS`].
pub(crate) fn send(to: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.len() > MAX_OCTETS || bytes.is_empty() || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let sent = sendmsg(
        to,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// One message and its descriptors; `None` at the end of the channel.
pub(crate) type Received = Option<(Vec<u8>, Vec<OwnedFd>)>;

thread_local! {
    /// What was just received; a waiting process holds the pages of it that messages needed so far.
    static SCRATCH: RefCell<&'static mut [u8]> = RefCell::new(memory::untouched(MAX_OCTETS));
}

/// Receives one message; without its descriptors, if this process can open no more. Errors:
/// `WouldBlock`; `InvalidData` for one that is cut off.
pub(crate) fn receive(from: impl AsFd) -> io::Result<Received> {
    SCRATCH.with(|scratch| receive_by(from, &mut scratch.borrow_mut()))
}

fn receive_by(from: impl AsFd, scratch: &mut [u8]) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = recvmsg(
        &from,
        &mut [IoSliceMut::new(scratch)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    if message.bytes == 0 {
        return Ok(None);
    }
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // This process has no room for its descriptors: that is no fault of whoever sent it.
    if message.flags.contains(ReturnFlags::CTRUNC) {
        descriptors.clear();
    }
    let received = scratch.get_mut(..message.bytes).unwrap_or_default();
    let bytes = received.to_vec();
    // It may have been a password.
    received.fill(0);
    Ok(Some((bytes, descriptors)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_message_outlives_descriptors_without_room() {
        // `front` was killed for a message that the parent had no room for.
        let (a, b) = channel().unwrap();
        let many = vec![a.as_fd(); MAX_DESCRIPTORS + 8];
        let mut space =
            [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS + 8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
        let bytes = [IoSlice::new(b"one")];
        sendmsg(&a, &bytes, &mut control, SendFlags::NOSIGNAL).unwrap();
        send(&a, b"two", &[a.as_fd()]).unwrap();
        for (text, count) in [(&b"one"[..], 0), (b"two", 1)] {
            let (bytes, descriptors) = receive(&b).unwrap().unwrap();
            assert_eq!((bytes.as_slice(), descriptors.len()), (text, count));
        }
    }

    #[test]
    fn messages_keep_their_borders_and_descriptors() {
        let (a, b) = channel().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        send(&a, b"one", &[]).unwrap();
        send(&a, &vec![7; MAX_OCTETS], &[far.as_fd(), far.as_fd()]).unwrap();
        drop((a, far));
        let (bytes, descriptors) = receive(&b).unwrap().unwrap();
        assert_eq!((bytes.as_slice(), descriptors.len()), (&b"one"[..], 0));
        let (bytes, mut descriptors) = receive(&b).unwrap().unwrap();
        assert_eq!((bytes.len(), descriptors.len()), (MAX_OCTETS, 2));
        let mut far = UnixStream::from(descriptors.remove(0));
        far.write_all(b"x").unwrap();
        let mut byte = [0];
        near.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert!(receive(&b).unwrap().is_none());
        assert!(send(&b, b"x", &[]).is_err());
    }
}
