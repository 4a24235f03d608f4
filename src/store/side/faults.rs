//! A disk that fails: what a test says of the changes that the stores of its thread make.

use rustix::io::Errno;
use std::cell::Cell;
use std::fs::File;

/// Whether a change needs room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Needed,
    Unneeded,
}

/// Which changes fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failing {
    Nothing,
    /// That one alone, by its number from 0 on.
    One(u32, Errno),
    /// That one and all behind it.
    From(u32, Errno),
    /// As `From`, of those that need room.
    Full(u32, Errno),
    /// Nothing but what the file system called FAT has not: `:` in names, and second names.
    Fat,
}

thread_local! {
    static FAILING: Cell<Failing> = const { Cell::new(Failing::Nothing) };
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

/// From now on these fail, counted from here.
pub(crate) fn fail(failing: Failing) {
    FAILING.set(failing);
    COUNT.set(0);
}

/// Changes that there were since `fail`.
pub(crate) fn count() -> u32 {
    COUNT.get()
}

/// What a write needs that ends at this offset of a file.
pub(crate) fn room_for(file: &File, end: u64) -> Room {
    match file.metadata().is_ok_and(|metadata| metadata.len() >= end) {
        true => Room::Unneeded,
        false => Room::Needed,
    }
}

/// Errors: this change is to fail.
pub(crate) fn strike(room: Room) -> rustix::io::Result<()> {
    let number = COUNT.get();
    COUNT.set(number.saturating_add(1));
    let error = match FAILING.get() {
        Failing::One(one, error) if one == number => error,
        Failing::From(first, error) if first <= number => error,
        Failing::Full(first, error) if first <= number && room == Room::Needed => error,
        _ => return Ok(()),
    };
    Err(error)
}

/// Errors: no file may be called that.
pub(crate) fn strike_name(name: &str) -> rustix::io::Result<()> {
    match FAILING.get() == Failing::Fat && name.contains(':') {
        true => Err(Errno::INVAL),
        false => Ok(()),
    }
}

/// Errors: a file may have one name alone.
pub(crate) fn strike_link() -> rustix::io::Result<()> {
    match FAILING.get() {
        Failing::Fat => Err(Errno::PERM),
        _ => Ok(()),
    }
}
