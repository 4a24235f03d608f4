//! Values as bytes between our own processes. Little-endian, lengths first, nothing aligned.

use std::path::{Path, PathBuf};

/// Appends values.
#[derive(Debug, Default)]
pub(super) struct Pack(pub(super) Vec<u8>);

impl Pack {
    pub(super) fn u8(&mut self, value: u8) -> &mut Pack {
        self.0.push(value);
        self
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Pack {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Pack {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Pack {
        self.u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Pack {
        self.bytes(value.as_bytes())
    }

    /// A list, element by element.
    pub(super) fn list<T>(&mut self, items: &[T], one: impl Fn(&mut Pack, &T)) -> &mut Pack {
        self.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
        items.iter().for_each(|item| one(self, item));
        self
    }

    pub(super) fn option<T>(
        &mut self,
        value: Option<&T>,
        one: impl FnOnce(&mut Pack, &T),
    ) -> &mut Pack {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            one(self, value);
        }
        self
    }
}

/// Takes values off again; `None` where they are not there.
#[derive(Debug)]
pub(super) struct Unpack<'a>(pub(super) &'a [u8]);

impl<'a> Unpack<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        let bytes = self.take(8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    pub(super) fn list<T>(&mut self, one: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(one(self)?);
        }
        Some(items)
    }

    pub(super) fn option<T>(
        &mut self,
        one: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            _ => one(self).map(Some),
        }
    }
}

/// Adds a path as it is.
pub(super) fn path(pack: &mut Pack, path: &Path) {
    use std::os::unix::ffi::OsStrExt;
    pack.bytes(path.as_os_str().as_bytes());
}

/// A path that [`path`] added.
pub(super) fn unpath(unpack: &mut Unpack<'_>) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(unpack.bytes()?.to_vec()).into())
}
