//! What only the kernel can do: descriptors, roles, signals, clocks, file system calls. The only room with `unsafe`.

pub(crate) mod clock;
