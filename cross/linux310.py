"""Runs a program as on Linux 3.10, which some NAS boxes still have: linux310.py PROGRAM [ARGUMENT...]

System calls that came later do not exist (ENOSYS) for the program and all that it starts, and files
without a name (O_TMPFILE) are refused as that kernel does. On x86_64."""
import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
LOAD, EQUAL, AT_LEAST, HAS_BITS, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
NUMBER_AT, FLAGS_OF_OPEN_AT, FLAGS_OF_OPENAT_AT = 0, 24, 32
# The first number after those of 3.10: sched_setattr, and then renameat2, seccomp, getrandom, statx...
FIRST_NEWER, OPEN, OPENAT, TMPFILE = 314, 2, 257, 0o20000000

PROGRAM = [
    (LOAD, 0, 0, NUMBER_AT),
    (AT_LEAST, 8, 0, FIRST_NEWER),
    (EQUAL, 2, 0, OPENAT),
    (EQUAL, 4, 0, OPEN),
    (RETURN, 0, 0, ALLOW),
    (LOAD, 0, 0, FLAGS_OF_OPENAT_AT),
    (HAS_BITS, 4, 0, TMPFILE),
    (RETURN, 0, 0, ALLOW),
    (LOAD, 0, 0, FLAGS_OF_OPEN_AT),
    (HAS_BITS, 1, 2, TMPFILE),
    (RETURN, 0, 0, REFUSE | errno.ENOSYS),
    (RETURN, 0, 0, REFUSE | errno.EISDIR),
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
