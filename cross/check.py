"""Checks a binary that cross/build made: check.py TARGET FILE SIZES.

An ELF executable of the target's machine that needs no interpreter and no library, may lie anywhere where
that can be, has no symbols and no stack that can be executed, and is within its budget of octets. Ends with 1 if it is
not so, with 3 if it is only too large."""
import struct
import sys

# Of these the executable has to lie at one address; see cross/targets/.
FIXED = {"mipsel"}
MACHINES = {"x86_64": 62, "aarch64": 183, "armv7": 40, "arm": 40, "mipsel": 8}
ET_EXEC, ET_DYN, PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK, PT_GNU_RELRO = 2, 3, 1, 2, 3, 0x6474E551, 0x6474E552
SHT_SYMTAB, DT_NEEDED, EXECUTABLE, WRITABLE = 2, 1, 1, 2


def faults(target, data):
    if data[:4] != b"\x7fELF" or data[5] != 1:
        return ["not a little-endian ELF file"]
    wide = data[4] == 2
    kind, machine = struct.unpack_from("<HH", data, 16)
    (program_at, section_at) = struct.unpack_from("<QQ" if wide else "<II", data, 32 if wide else 28)
    sizes = struct.unpack_from("<HHHH", data, 54 if wide else 42)
    found = []
    if machine != MACHINES[target]:
        found.append(f"for machine {machine}")
    if kind != (ET_EXEC if target in FIXED else ET_DYN):
        found.append(f"an ELF file of type {kind}")
    segments = []
    for number in range(sizes[1]):
        at = program_at + number * sizes[0]
        if wide:
            name, flags, offset, _, _, size = struct.unpack_from("<IIQQQQ", data, at)
        else:
            name, offset, _, _, size, _, flags = struct.unpack_from("<7I", data, at)
        segments.append((name, flags, offset, size))
    for name, flags, offset, size in segments:
        if name == PT_INTERP:
            found.append("wants an interpreter")
        if name == PT_LOAD and flags & WRITABLE and flags & EXECUTABLE:
            found.append("memory that is both written and executed")
        if name == PT_GNU_STACK and flags & EXECUTABLE:
            found.append("a stack that is executed")
        if name == PT_DYNAMIC:
            word = "<QQ" if wide else "<II"
            entries = struct.iter_unpack(word, data[offset : offset + size])
            if any(tag == DT_NEEDED for tag, _ in entries):
                found.append("wants a library")
    for wanted in (PT_GNU_STACK, PT_GNU_RELRO):
        if all(name != wanted for name, *_ in segments):
            found.append(f"no program header {wanted:#x}")
    for number in range(sizes[3]):
        if struct.unpack_from("<I", data, section_at + number * sizes[2] + 4)[0] == SHT_SYMTAB:
            found.append("symbols")
    return found


def budget(target, path):
    with open(path) as lines:
        rows = dict(line.split("\t") for line in lines if not line.startswith("#"))
    return int(rows[target])


def main(target, path, sizes):
    with open(path, "rb") as file:
        data = file.read()
    found, most = faults(target, data), budget(target, sizes)
    over = len(data) > most
    missed = f", {len(data) - most} OVER BUDGET" if over else ""
    print(f"cross: {target}: {len(data)} octets of {most}{missed}", file=sys.stderr)
    for fault in found:
        print(f"cross: {target}: {fault}", file=sys.stderr)
    return 1 if found else 3 if over else 0


sys.exit(main(*sys.argv[1:]))
