//! Compressed files, of which the end is known: gzip (RFC 1952), Zstandard (RFC 8878) and LZ4 blocks as Dovecot puts
//! them one behind the other. Both ways memory is bounded, whatever the length of the file.

mod gzip;
mod lz4;
mod method;
mod zstd;

pub(crate) use method::{MAGIC_OCTETS, Method};
