//! Settings: text to values, every fault with its place.
