"""Makes packages for Synology NAS with DSM 7: build_spk.py OUT TARGET=FILE...

Leaves OUT/dovelet-VERSION-0001-TARGET.spk for x86_64 and aarch64. What is installed lies in board/synology. The 32-bit
ARM models of Synology have kernels that answer newer system calls wrongly: there is no package for them."""
import hashlib
import struct
import sys
import zlib

from packing import BOARD, Fault, Tree, board_file, compressed, main, manifest, version, write

# What DSM calls the machines.
ARCHITECTURES = {
    "x86_64": "x86_64 apollolake avoton braswell broadwell broadwellnk broadwellnkv2 broadwellntbap bromolow cedarview "
    "denverton epyc7002 geminilake geminilakenk grantley kvmx64 purley r1000 r1000nk v1000 v1000nk",
    "aarch64": "armv8 rtd1296 rtd1619b armada37xx",
}
SCRIPTS = ("preinst", "postinst", "preuninst", "postuninst", "preupgrade", "postupgrade", "start-stop-status")
BLUE, WHITE = b"\x20\x50\x90", b"\xff\xff\xff"


def icon(size):
    """An envelope, as PNG."""

    def colour(x, y):
        margin, top = size // 8, size // 4
        within = margin <= x < size - margin and top <= y < size - top
        fold = abs(y - top - min(x - margin, size - margin - 1 - x) * 2 // 3) < max(size // 32, 1)
        return WHITE if within and not fold else BLUE

    rows = b"".join(b"\0" + b"".join(colour(x, y) for x in range(size)) for y in range(size))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    ]
    framed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def installed(data):
    tree = Tree()
    tree.file("bin/dovelet", data, 0o755)
    tree.file("dovelet.toml", board_file("synology/dovelet.toml"))
    tree.file("port/dovelet.sc", board_file("synology/dovelet.sc"))
    return compressed(tree.tar(prefix="", root=False))


def package(target, data):
    inner = installed(data)
    tree = Tree()
    words = {"architectures": ARCHITECTURES[target], "checksum": hashlib.md5(inner).hexdigest()}
    tree.file("INFO", board_file("synology/INFO", description=manifest()["description"], **words))
    tree.file("package.tgz", inner)
    for script in SCRIPTS:
        tree.file(f"scripts/{script}", board_file(f"synology/scripts/{script}"), 0o755)
    for name in ("privilege", "resource"):
        tree.file(f"conf/{name}", (BOARD / "synology/conf" / name).read_text())
    tree.file("PACKAGE_ICON.PNG", icon(64))
    tree.file("PACKAGE_ICON_256.PNG", icon(256))
    tree.file("LICENSE", (BOARD.parent / "LICENSE-MIT").read_text())
    return tree.tar(prefix="", root=False)


def build(out, binaries):
    for target, data in binaries:
        if target not in ARCHITECTURES:
            raise Fault(f"{target}: no package for such a Synology NAS; there are {' '.join(ARCHITECTURES)}")
        write(out / f"dovelet-{version()}-0001-{target}.spk", package(target, data))


if __name__ == "__main__":
    main(build, sys.argv[1:], __doc__)
