//! What only the kernel can do. The only room with `unsafe`.
#![allow(unsafe_code)]

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod activation;
pub(crate) mod clock;
pub(crate) mod confine;
pub(crate) mod directory;
pub(crate) mod exclusive;
pub(crate) mod landlock;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod notify;
pub(crate) mod ownership;
pub(crate) mod random;
pub(crate) mod record_lock;
pub(crate) mod regular;
pub(crate) mod seccomp;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod stderr;
