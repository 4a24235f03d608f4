//! How passwords are stored now.

use super::scheme::{hash, scram_sha_256};
use crate::config::{Limits, Scheme};

/// The scheme of the settings, and what it costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) scheme: Scheme,
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) iterations: u32,
}

impl Current {
    pub(crate) fn new(scheme: Scheme, limits: &Limits) -> Current {
        Current {
            scheme,
            memory_kib: limits.argon2_memory_kib,
            passes: limits.argon2_passes,
            iterations: limits.scram_iterations,
        }
    }

    /// What is stored for a new password. `None`: memory is lacking, or SCRAM cannot use it.
    pub(crate) fn hash(&self, password: &[u8], salt: [u8; 16]) -> Option<String> {
        match self.scheme {
            Scheme::Argon2id => hash(password, self.memory_kib, self.passes, salt),
            Scheme::ScramSha256 => scram_sha_256(password, self.iterations, salt),
        }
    }
}
