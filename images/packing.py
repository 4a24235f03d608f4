"""What the builders have in common: archives that are the same octets each time, and what a binary is for.

Times are SOURCE_DATE_EPOCH, or that of the last commit; owners are root; entries are in the order of their names."""
import gzip
import io
import os
import pathlib
import struct
import subprocess
import tarfile
import tomllib

PROJECT = pathlib.Path(__file__).resolve().parent.parent
BOARD = PROJECT / "board"

# What each family of devices calls the targets of cross/.
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64", "armv7": "armhf"}
OCI = {"x86_64": ("amd64", None), "aarch64": ("arm64", "v8"), "armv7": ("arm", "v7"), "arm": ("arm", "v6")}
MACHINES = {"x86_64": 62, "aarch64": 183, "armv7": 40, "arm": 40, "mipsel": 8}


class Fault(Exception):
    """What is wrong, in words for whoever called the program."""


def wanted(condition, what):
    if not condition:
        raise Fault(what)


def verify(check, words):
    """Runs `check(path)` with each of the words of a command line; ends with what is wrong."""
    import sys

    try:
        for word in words:
            check(pathlib.Path(word))
    except (Fault, KeyError, ValueError, OSError) as fault:
        sys.exit(f"images: {fault}" if isinstance(fault, Fault) else f"images: {fault!r}")


def manifest():
    """The [package] table of Cargo.toml."""
    return tomllib.loads((PROJECT / "Cargo.toml").read_text())["package"]


def version():
    return manifest()["version"]


def epoch():
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    git = ["git", "-C", str(PROJECT), "log", "-1", "--format=%ct"]
    return int(subprocess.run(git, check=True, capture_output=True, text=True).stdout)


def binary(word):
    """TARGET=FILE as the target and the octets of an executable for it, which must need nothing but Linux."""
    target, _, path = word.partition("=")
    if not path or target not in MACHINES:
        raise Fault(f"{word}: write TARGET=FILE; targets are {' '.join(sorted(MACHINES))}")
    data = pathlib.Path(path).read_bytes()
    check_elf(target, data)
    return target, data


def check_elf(target, data):
    if data[:4] != b"\x7fELF" or data[5] != 1:
        raise Fault(f"{target}: no little-endian ELF file")
    if struct.unpack_from("<H", data, 18)[0] != MACHINES[target]:
        raise Fault(f"{target}: an executable for another machine")
    wide = data[4] == 2
    (start,) = struct.unpack_from("<Q" if wide else "<I", data, 32 if wide else 28)
    size, count = struct.unpack_from("<HH", data, 54 if wide else 42)
    for number in range(count):
        # PT_INTERP
        if struct.unpack_from("<I", data, start + number * size)[0] == 3:
            raise Fault(f"{target}: needs a dynamic linker, so it runs on this machine only")


class Tree:
    """Files of an archive, by their path without a slash in front."""

    def __init__(self):
        self.entries = {}

    def directory(self, path, mode=0o755, owner=(0, 0)):
        self.entries[path] = (tarfile.DIRTYPE, mode, b"", owner)

    def file(self, path, data, mode=0o644, owner=(0, 0)):
        for parent in list(pathlib.PurePosixPath(path).parents)[:-1]:
            if str(parent) not in self.entries:
                self.directory(str(parent))
        data = data.encode() if isinstance(data, str) else data
        self.entries[path] = (tarfile.REGTYPE, mode, data, owner)

    def link(self, path, to):
        self.file(path, b"")
        self.entries[path] = (tarfile.SYMTYPE, 0o777, to.encode(), (0, 0))

    def octets(self):
        return sum(len(data) for kind, _, data, _ in self.entries.values() if kind == tarfile.REGTYPE)

    def tar(self, prefix="./", root=True):
        """The archive, as `ustar`; names begin with `prefix`."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            if root and prefix:
                self.add(archive, prefix, (tarfile.DIRTYPE, 0o755, b"", (0, 0)))
            for path in sorted(self.entries):
                self.add(archive, prefix + path, self.entries[path])
        return out.getvalue()

    @staticmethod
    def add(archive, name, entry):
        kind, mode, data, (uid, gid) = entry
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.mtime, info.uid, info.gid = kind, mode, epoch(), uid, gid
        info.uname = info.gname = "root" if uid == 0 else ""
        if kind == tarfile.SYMTYPE:
            info.linkname, data = data.decode(), b""
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))


def compressed(data):
    """As gzip(1) -n -9."""
    return gzip.compress(data, compresslevel=9, mtime=0)


def ar(members):
    """An archive of ar(5): pairs of name and octets."""
    out = bytearray(b"!<arch>\n")
    for name, data in members:
        out += b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name.encode(), epoch(), 0, 0, 0o100644, len(data))
        out += data + b"\n" * (len(data) % 2)
    return bytes(out)


def board_file(path, **words):
    """The text of a file below board/, with @NAME@ replaced."""
    text = (BOARD / path).read_text()
    for name, word in {"version": version(), **words}.items():
        text = text.replace(f"@{name.upper()}@", str(word))
    return text


def write(path, data):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(f"images: {path}: {len(data)} octets")


def main(build, words, usage):
    """Runs `build(out, binaries)` with the words of a command line: OUT TARGET=FILE..."""
    import sys

    if len(words) < 2 or words[0].startswith("-"):
        sys.exit(usage)
    try:
        build(pathlib.Path(words[0]), [binary(word) for word in words[1:]])
    except (Fault, OSError) as fault:
        sys.exit(f"images: {fault}")
