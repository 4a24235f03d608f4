"""Makes packages for Debian, Ubuntu and Raspberry Pi OS: build_deb.py OUT TARGET=FILE...

Leaves OUT/dovelet_VERSION-1_ARCHITECTURE.deb for each: the executable, the units of systemd with their account,
the settings, a manual page. What is installed lies in board/systemd; nothing is asked for while it is."""
import hashlib
import lzma
import sys
import time

from packing import DEBIAN, PROJECT, Fault, Tree, ar, board_file, compressed, epoch, main, version, write

MAINTAINER = "The dovelet project <packages@dovelet.example>"
SCRIPTS = ("preinst", "postinst", "prerm", "postrm")


def changelog():
    date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(epoch()))
    return f"dovelet ({version()}-1) unstable; urgency=medium\n\n  * Release {version()}.\n\n -- {MAINTAINER}  {date}\n"


def licence():
    lines = (PROJECT / "LICENSE-MIT").read_text().rstrip().splitlines()
    return "\n".join(f" {line}" if line.strip() else " ." for line in lines)


def installed(data):
    tree = Tree()
    tree.file("usr/bin/dovelet", data, 0o755)
    tree.file("etc/dovelet/dovelet.toml", board_file("systemd/dovelet.toml"))
    for unit in ("dovelet.service", "dovelet.socket"):
        tree.file(f"lib/systemd/system/{unit}", board_file(f"systemd/{unit}"))
    tree.file("usr/lib/sysusers.d/dovelet.conf", board_file("systemd/dovelet.sysusers"))
    tree.file("usr/lib/tmpfiles.d/dovelet.conf", board_file("systemd/dovelet.tmpfiles"))
    tree.file("usr/share/man/man8/dovelet.8.gz", compressed(board_file("systemd/dovelet.8").encode()))
    documents = "usr/share/doc/dovelet"
    tree.file(f"{documents}/changelog.Debian.gz", compressed(changelog().encode()))
    tree.file(f"{documents}/copyright", board_file("systemd/debian/copyright", mit=licence()))
    tree.file("usr/share/lintian/overrides/dovelet", board_file("systemd/debian/lintian-overrides"))
    return tree


def control(target, tree):
    described = Tree()
    size = -(-tree.octets() // 1024)
    words = {"architecture": DEBIAN[target], "size": size, "maintainer": MAINTAINER}
    described.file("control", board_file("systemd/debian/control", **words))
    described.file("conffiles", board_file("systemd/debian/conffiles"))
    for script in SCRIPTS:
        described.file(script, board_file(f"systemd/debian/{script}"), 0o755)
    sums = [
        f"{hashlib.md5(data).hexdigest()}  {path}\n"
        for path, (_, _, data, _) in sorted(tree.entries.items())
        if data and not path.startswith("etc/")
    ]
    described.file("md5sums", "".join(sums))
    return described


def build(out, binaries):
    for target, data in binaries:
        if target not in DEBIAN:
            raise Fault(f"{target}: Debian has no such architecture; there are {' '.join(DEBIAN)}")
        tree = installed(data)
        package = ar(
            [
                ("debian-binary", b"2.0\n"),
                ("control.tar.xz", lzma.compress(control(target, tree).tar())),
                ("data.tar.xz", lzma.compress(tree.tar(), preset=9 | lzma.PRESET_EXTREME)),
            ]
        )
        write(out / f"dovelet_{version()}-1_{DEBIAN[target]}.deb", package)


if __name__ == "__main__":
    main(build, sys.argv[1:], __doc__)
