"""Starts a disk that build_virt.py made: boot_virt.py IMAGE [--slot a|b] [--port PORT] [WORD OF QEMU...]

Takes the kernel out of the slot, and has the machine's ports of IMAP, IMAPS, POP3S and LMTP at 127.0.0.1:PORT, PORT+1,
PORT+2 and PORT+3 (2143 without a word). What the machine says comes to this terminal; Enter gives a shell, Ctrl-A X ends it.
The machine reaches nothing outside."""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from machines import MACHINES, partitions
from packing import Fault

FORWARDED = (143, 993, 995, 24)


def machine_of(image):
    for machine in MACHINES.values():
        if image.stem.endswith(f"-{machine.name}"):
            return machine
    raise Fault(f"{image}: named for no machine")


def take_out(image, slot, path, to):
    """Leaves in `to` a file out of a slot ("a" or "b") of a disk."""
    with open(image, "rb") as file:
        start, _ = partitions(file.read(512))["ab".index(slot)]
    words = ["unsquashfs", "-o", str(start), "-cat", str(image), path]
    with open(to, "wb") as out:
        if subprocess.run(words, stdout=out, stderr=subprocess.DEVNULL, check=False).returncode != 0:
            raise Fault(f"{image}: slot {slot} has no {path}")


def command(image, kernel, initrd, slot, ports, cache="writeback"):
    """The words that start QEMU. `ports` are where the machine's own are had outside, in the order of FORWARDED."""
    machine = machine_of(image)
    append = f"console={machine.console} quiet panic=5 rdinit=/init" + (f" dovelet.slot={slot}" if slot else "")
    pairs = zip(ports, FORWARDED, strict=True)
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{outside}-:{inside}" for outside, inside in pairs)
    words = machine.emulator.split() + ["-smp", "1", "-nographic", "-no-reboot", "-kernel", str(kernel), "-initrd", str(initrd)]
    words += ["-append", append, "-netdev", f"user,id=n,restrict=on{forwards}"]
    # No program in the network card: nothing is started from there.
    words += ["-device", "virtio-net-pci,netdev=n,romfile=", "-device", "virtio-rng-pci"]
    words += ["-drive", f"file={image},format=raw,if=none,id=d,cache={cache}", "-device", "virtio-blk-pci,drive=d"]
    if machine.name == "virt":
        words += ["-device", "i6300esb", "-watchdog-action", "reset"]
    return words


def main():
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("image", type=pathlib.Path)
    words.add_argument("--slot", choices=["a", "b"], default="")
    words.add_argument("--port", type=int, default=2143)
    given, more = words.parse_known_args()
    emulator = machine_of(given.image).emulator.split()[0]
    if not shutil.which(emulator):
        raise Fault(f"needs {emulator}")
    with tempfile.TemporaryDirectory() as directory:
        kernel, initrd = pathlib.Path(directory, "vmlinux"), pathlib.Path(directory, "initrd")
        take_out(given.image, given.slot or "a", "boot/vmlinux", kernel)
        take_out(given.image, given.slot or "a", "boot/initrd", initrd)
        ports = range(given.port, given.port + len(FORWARDED))
        os.environ.pop("SOURCE_DATE_EPOCH", None)
        return subprocess.run(command(given.image, kernel, initrd, given.slot, ports) + more, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Fault, OSError, ValueError) as fault:
        sys.exit(f"images: {fault}")
