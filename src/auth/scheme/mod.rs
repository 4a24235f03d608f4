//! Password schemes: each file reads the stored form of one family and verifies against it.

mod argon;
mod bcrypt;
mod cram_md5;
mod digest;
mod pbkdf2;
mod scram;
mod sha_crypt;

pub(crate) use argon::{Argon, hash};
pub(crate) use bcrypt::Bcrypt;
pub(crate) use cram_md5::CramMd5;
pub(crate) use digest::{Kind, Salted};
pub(crate) use pbkdf2::Pbkdf2;
pub(crate) use scram::{Hash, Keys, Scram, scram_sha_256};
pub(crate) use sha_crypt::ShaCrypt;
