"""Makes packages for OpenWrt up to 24.10 (opkg): build_ipk.py OUT TARGET=FILE...

Leaves OUT/dovelet_VERSION-1_ARCHITECTURE.ipk for each architecture of OpenWrt that a binary runs on, see
board/openwrt/architectures.tsv; what is installed lies there too."""
import sys

from packing import BOARD, Fault, Tree, board_file, compressed, main, version, write


def architectures(target):
    lines = (BOARD / "openwrt/architectures.tsv").read_text().splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [name for name, own in rows if own == target]


def installed(data):
    tree = Tree()
    tree.file("usr/bin/dovelet", data, 0o755)
    tree.file("etc/init.d/dovelet", board_file("openwrt/dovelet.init"), 0o755)
    # It may name passwords some day.
    tree.file("etc/config/dovelet", board_file("openwrt/dovelet.config"), 0o600)
    tree.file("lib/upgrade/keep.d/dovelet", board_file("openwrt/dovelet.keep"))
    return tree


def control(architecture, tree):
    described = Tree()
    words = {"architecture": architecture, "size": tree.octets()}
    described.file("control", board_file("openwrt/control", **words))
    described.file("conffiles", "/etc/config/dovelet\n")
    for script in ("postinst", "prerm"):
        described.file(script, board_file(f"openwrt/{script}"), 0o755)
    return described


def package(architecture, tree):
    whole = Tree()
    whole.file("debian-binary", "2.0\n")
    whole.file("control.tar.gz", compressed(control(architecture, tree).tar()))
    whole.file("data.tar.gz", compressed(tree.tar()))
    return compressed(whole.tar(root=False))


def build(out, binaries):
    for target, data in binaries:
        names = architectures(target)
        if not names:
            raise Fault(f"{target}: no architecture of OpenWrt has it")
        tree = installed(data)
        for name in names:
            write(out / f"dovelet_{version()}-1_{name}.ipk", package(name, tree))


if __name__ == "__main__":
    main(build, sys.argv[1:], __doc__)
