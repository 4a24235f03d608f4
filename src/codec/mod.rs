//! Streaming transforms of bytes to bytes.
