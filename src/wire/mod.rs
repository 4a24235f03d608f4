//! Grammar of the protocols: bytes to commands and responses to bytes, nothing else.
