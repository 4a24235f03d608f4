"""Verifies what build_virt.py made: check_virt.py IMAGE... Reads the disk as a machine does: its table of partitions, the
root of each slot with all that a start needs, and the partition for data."""
import pathlib
import re
import subprocess
import sys
import tempfile

from boot_virt import machine_of
from build_virt import DATA_MIB, SLOT_MIB, run
from machines import MACHINES, SECTOR, partitions
from packing import check_elf, verify, wanted

# Of the machine that people start, with the room for mail that it has if nobody says otherwise.
MAX_OCTETS = {"virt": 48_000_000}
EXECUTABLES = ("usr/bin/dovelet", "bin/busybox", "etc/rc", "etc/serve", "etc/health", "etc/network", "etc/slot")
# Where ext4 has its number, and what a clean one says of itself.
EXT4_AT, EXT4_MAGIC, CLEAN = 1024 + 56, b"\x53\xef", b"\x01\x00"


def check_slot(path, start, target, directory):
    out = pathlib.Path(directory, "root")
    run(["unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-o", str(start), "-d", out, path])
    for name in EXECUTABLES:
        wanted((out / name).stat().st_mode & 0o777 == 0o755, f"{name} cannot be run")
    for name in ("usr/bin/dovelet", "bin/busybox"):
        check_elf(target, (out / name).read_bytes())
    for link in out.rglob("*"):
        # What the root holds later (data, run) is no link of this tree.
        wanted(not link.is_symlink() or link.exists(), f"{link.relative_to(out)} leads nowhere")
    for line in (out / "etc/inittab").read_text().split("\n"):
        program = line.rpartition(":")[2].lstrip("-").split(" ")[0]
        wanted(not program or (out / program[1:]).exists(), f"inittab starts {program}, which is not there")
    scripts = [path for path in (out / "etc").iterdir() if path.is_file() and path.read_bytes()[:2] == b"#!"]
    for script in scripts:
        run(["sh", "-n", script])
        check_words(out, script)
    wanted(len((out / "boot/initrd").read_bytes()) > 100_000, "nothing to start the kernel with")
    return (out / "boot/vmlinux").stat().st_size


def check_words(out, script):
    """Whether each program of busybox that a script calls is in the root."""
    applets = set(subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=False).stdout.split())
    own = {"echo", "[", "printf", "test", "exec", "cd", "read", "true", "false", "exit"}
    for line in script.read_text().splitlines():
        first = re.match(r"\s*([a-z]+)\b(?!\))", line.partition("#")[0])
        if first and first[1] in applets - own:
            wanted((out / "bin" / first[1]).exists(), f"{script.name}: there is no {first[1]}")


def check(path):
    machine = machine_of(path)
    (target,) = [name for name, one in MACHINES.items() if one is machine]
    octets = path.stat().st_size
    with open(path, "rb") as file:
        parts = partitions(file.read(SECTOR))
        wanted(len(parts) == 3, f"{len(parts)} partitions")
        at = 0
        for start, size in parts:
            wanted(start >= at and start % 4096 == 0, "partitions lie over one another")
            at = start + size
        wanted(at <= octets, "the disk ends before its partitions")
        wanted(all(size == SLOT_MIB * 1024 * 1024 for _, size in parts[:2]), "the slots are not of one size")
        file.seek(parts[2][0] + EXT4_AT)
        found = file.read(4)
        wanted(found == EXT4_MAGIC + CLEAN, "the partition for data is no ext4, or was not closed")
    for start, _ in parts[:2]:
        with tempfile.TemporaryDirectory() as directory:
            kernel = check_slot(path, start, target, directory)
    with tempfile.TemporaryDirectory() as directory:
        check_data(path, parts[2], directory)
    mail = parts[2][1]
    usual, most = octets - mail + min(mail, DATA_MIB * 1024 * 1024), MAX_OCTETS.get(machine.name)
    over = f", OVER BUDGET: {usual} octets, {most} wanted" if most and usual > most else ""
    print(f"images: {path}: good, {octets} octets, {mail} of them for mail, a kernel of {kernel}{over}")


def check_data(path, part, directory):
    copy = pathlib.Path(directory, "data")
    with open(path, "rb") as file, open(copy, "wb") as out:
        file.seek(part[0])
        out.write(file.read(part[1]))
    run(["e2fsck", "-f", "-n", copy])


if __name__ == "__main__":
    verify(check, sys.argv[1:])
