"""Runs a program as on Linux 3.10, which some NAS boxes still have: linux310.py PROGRAM [ARGUMENT...]

System calls that came later do not exist (ENOSYS) for the program and all that it starts, files without a name
(O_TMPFILE) are refused as that kernel does, and what the kernel told a process at its start is only in /proc (prctl
knows it since Linux 6.4). On x86_64."""
import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, EQUAL, AT_LEAST, HAS_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
NUMBER_AT, FIRST_AT, FLAGS_OF_OPEN_AT, FLAGS_OF_OPENAT_AT = 0, 16, 24, 32
# The first number after those of 3.10: sched_setattr, and then renameat2, seccomp, getrandom, statx...
FIRST_NEWER, OPEN, OPENAT, PRCTL, TMPFILE, PR_GET_AUXV = 314, 2, 257, 157, 0o20000000, 0x41555856

PROGRAM = [
    (LOAD, 0, 0, NUMBER_AT),
    (AT_LEAST, 11, 0, FIRST_NEWER),
    (EQUAL, 3, 0, OPENAT),
    (EQUAL, 5, 0, OPEN),
    (EQUAL, 6, 0, PRCTL),
    (RETURN, 0, 0, ALLOW),
    (LOAD, 0, 0, FLAGS_OF_OPENAT_AT),
    (HAS_BITS, 6, 0, TMPFILE),
    (RETURN, 0, 0, ALLOW),
    (LOAD, 0, 0, FLAGS_OF_OPEN_AT),
    (HAS_BITS, 3, 5, TMPFILE),
    (LOAD, 0, 0, FIRST_AT),
    (EQUAL, 2, 3, PR_GET_AUXV),
    (RETURN, 0, 0, REFUSE | errno.ENOSYS),
    (RETURN, 0, 0, REFUSE | errno.EISDIR),
    (RETURN, 0, 0, REFUSE | errno.EINVAL),
    (RETURN, 0, 0, ALLOW),
]


def restrict():
    steps = b"".join(struct.pack("<HBBI", *step) for step in PROGRAM)
    buffer = ctypes.create_string_buffer(steps, len(steps))
    program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(PROGRAM), ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, MODE_FILTER, program, 0, 0)]:
        if libc.prctl(*call) != 0:
            sys.exit(f"linux310: {os.strerror(ctypes.get_errno())}")


if len(sys.argv) < 2:
    sys.exit(__doc__)
restrict()
os.execvp(sys.argv[1], sys.argv[1:])
