//! Streaming transforms of bytes to bytes.

pub(crate) mod base64;
pub(crate) mod block;
pub(crate) mod crlf;
pub(crate) mod deflate;
pub(crate) mod dot;
pub(crate) mod mutf7;
pub(crate) mod packed;
pub(crate) mod quoted;
