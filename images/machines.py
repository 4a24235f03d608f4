"""The emulated machines that images are made for, and what a disk of one looks like.

A disk has a table of partitions (MBR): slot a, slot b, data. A slot is a squashfs with all that is updated together:
the root, and in /boot its kernel and what that starts with."""
import struct

SECTOR = 512
ALIGNMENT = 1024 * 1024
# Types of partitions in the table: Linux.
LINUX = 0x83


class Machine:
    """A machine of QEMU: how Debian calls it, what its kernel needs as modules, how it is started."""

    def __init__(self, name, debian, console, board, emulator, modules):
        self.name, self.debian, self.console, self.board = name, debian, console, board
        self.emulator, self.modules = emulator, modules


VIRTIO = ["virtio_pci", "virtio_blk", "virtio_net", "virtio-rng", "squashfs", "ext4"]
MACHINES = {
    "aarch64": Machine(
        "virt", "arm64", "ttyAMA0", "openwrt-128", "qemu-system-aarch64 -M virt -cpu cortex-a53 -m 128", [*VIRTIO, "i6300esb"]
    ),
    # A router of the year 2010: 24Kc, 64 MB.
    "mipsel": Machine("malta", "mipsel", "ttyS0", "openwrt-64", "qemu-system-mipsel -M malta -vga none -cpu 24Kf -m 64", VIRTIO),
}


def partition_table(sizes, identity):
    """The first sector of a disk with partitions of these sizes in octets, and where each begins."""
    table, starts, at = bytearray(SECTOR), [], ALIGNMENT
    struct.pack_into("<I", table, 440, identity)
    for number, size in enumerate(sizes):
        entry = (0, b"\xfe\xff\xff", LINUX, b"\xfe\xff\xff", at // SECTOR, size // SECTOR)
        struct.pack_into("<B3sB3sII", table, 446 + 16 * number, *entry)
        starts.append(at)
        at += size
    table[510:512] = b"\x55\xaa"
    return bytes(table), starts


def partitions(sector):
    """Pairs of the first octet and the size of every partition in a table."""
    if sector[510:512] != b"\x55\xaa":
        raise ValueError("no table of partitions")
    rows = [struct.unpack_from("<B3sB3sII", sector, 446 + 16 * number) for number in range(4)]
    return [(row[4] * SECTOR, row[5] * SECTOR) for row in rows if row[2] == LINUX]
