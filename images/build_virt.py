"""Makes disks that QEMU's machines start from: build_virt.py [--data-mib N] [--files DIRECTORY] OUT TARGET=FILE...

Leaves OUT/dovelet-VERSION-virt.img for aarch64 and OUT/dovelet-VERSION-malta.img for mipsel: two slots with a
read-only root each (squashfs), and a partition for mail (ext4) of N MiB, 12 without a word, which begins with what is in
DIRECTORY: settings (dovelet.toml), users. Needs no root; mksquashfs and mke2fs, and 110 MB of Debian's
packages (images/virt.lock). images/boot_virt.py starts what it makes."""
import argparse
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import uuid

from debian import fetched, unpacked
from machines import ALIGNMENT, MACHINES, partition_table
from packing import BOARD, Fault, Tree, binary, board_file, compressed, epoch, manifest, version

SLOT_MIB = 16
# For mail, if nobody says how much.
DATA_MIB = 12
OWNER_OF_MAIL = 10143
# Names of this project's own, by which its disks are the same octets each time.
IDENTITY = 0xD07E1E70
NAMESPACE = uuid.UUID("0d6f1c1e-5a5b-4a57-9f51-5d3f0a6f7c11")


def cpio(entries):
    """An archive as kernels read it at their start ("newc"), of triples of path, mode and octets."""
    out = bytearray()
    for number, (path, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        name = path.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, epoch(), len(data), 0, 0, 0, 0, len(name), 0)
        out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def depends(module):
    """The modules that one needs, as it says itself."""
    found = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name for name in (found[1].decode() if found else "").split(",") if name]


def ordered(modules, wanted, builtin):
    """Names of modules in an order in which they can be loaded; what the kernel has built in is none."""
    order = []

    def visit(name):
        if name not in order and name in modules:
            for other in depends(modules[name]):
                visit(other)
            order.append(name)

    for name in wanted:
        if name not in modules and name not in builtin:
            raise Fault(f"the kernel has no module {name}")
        visit(name)
    return order


def kernel(machine, packages):
    """The octets of the kernel, and its modules by name."""
    (package,) = [path for name, path in packages.items() if name.startswith("linux-image-")]
    files = unpacked(package, "./")
    (image,) = [data for path, data in files.items() if path.startswith("boot/vmlinu")]
    modules, builtin = {}, set()
    for path, data in files.items():
        name = pathlib.PurePosixPath(path).name
        if name.endswith((".ko", ".ko.xz")):
            stem = name.partition(".")[0].replace("-", "_")
            modules[stem] = lzma.decompress(data) if name.endswith(".xz") else data
        if name == "modules.builtin":
            builtin = {pathlib.PurePosixPath(line).stem.replace("-", "_") for line in data.decode().splitlines()}
    # ext4 asks for that by the name of what it does.
    wanted = [name.replace("-", "_") for name in ("crc32c_generic", *machine.modules)]
    return image, {name: modules[name] for name in ordered(modules, wanted, builtin)}


def first_root(busybox, modules):
    directories = [(path, 0o040755, b"") for path in ("bin", "dev", "proc", "sys", "root", "data", "modules")]
    names = ("sh", "mount", "umount", "insmod", "sed", "sleep", "cat", "rm", "sync", "switch_root", "[", "echo")
    links = [(f"bin/{name}", 0o120777, b"busybox") for name in names]
    files = [("init", 0o100755, board_file("virt/init").encode()), ("bin/busybox", 0o100755, busybox)]
    files += [(f"modules/{name}.ko", 0o100644, data) for name, data in modules.items()]
    files.append(("modules/order", 0o100644, "".join(f"{name}.ko\n" for name in modules).encode()))
    return compressed(cpio(directories + files + links))


APPLETS = "sh mount umount ip udhcpc hostname cat ls cp mv rm mkdir echo sync sleep dd head stat killall ps free df dmesg vi \
 sed grep logger date ping init reboot poweroff getty su passwd chown chmod kill [ more tail wc top"


def root(machine, data, busybox, image, initrd):
    tree = Tree()
    tree.file("usr/bin/dovelet", data, 0o755)
    tree.file("bin/busybox", busybox, 0o755)
    for name in APPLETS.split():
        tree.link(f"bin/{name}", "busybox")
    for name in ("init", "reboot", "poweroff"):
        tree.link(f"sbin/{name}", "../bin/busybox")
    tree.link("usr/bin/slot", "../../etc/slot")
    for name in ("rc", "serve", "health", "network", "slot"):
        tree.file(f"etc/{name}", board_file(f"virt/{name}"), 0o755)
    tree.file("etc/inittab", board_file("virt/inittab"))
    tree.file("etc/dovelet/dovelet.toml", board_file("virt/dovelet.toml", board=machine.board))
    accounts = [("root", 0, "/data"), ("dovelet", OWNER_OF_MAIL, "/data"), ("dovelet-net", 10144, "/"), ("dovelet-auth", 10145, "/")]
    tree.file("etc/passwd", "".join(f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n" for name, uid, home in accounts))
    tree.file("etc/group", "".join(f"{name}:x:{uid}:\n" for name, uid, _ in accounts))
    tree.file("etc/dovelet-release", f"{manifest()['name']} {version()} {machine.name}\n")
    tree.file("boot/vmlinux", image)
    tree.file("boot/initrd", initrd)
    for path in ("data", "dev", "proc", "sys", "run"):
        tree.directory(path)
    tree.directory("tmp", 0o1777)
    return tree


def squashfs(tree, directory):
    out = pathlib.Path(directory, "root.squashfs")
    # From an archive nothing is asked of the machine that builds: owners and times are as they stand there.
    words = ["mksquashfs", "-", out, "-tar", "-comp", "zstd", "-Xcompression-level", "22", "-b", "256K", "-no-xattrs"]
    words += ["-mkfs-time", str(epoch()), "-all-root", "-noappend", "-no-progress", "-quiet"]
    run(words, input=tree.tar())
    return out.read_bytes()


def ext4(mib, files, directory):
    """A file system for data. What is in `files` belongs to root, but for `mail`, which is the server's."""
    out, copy = pathlib.Path(directory, "data.ext4"), pathlib.Path(directory, "data")
    copy.mkdir(mode=0o755)
    os.chmod(copy, 0o755)
    if files:
        shutil.copytree(files, copy, dirs_exist_ok=True)
    names = sorted(copy.rglob("*"), reverse=True)
    for path in [*names, copy]:
        os.utime(path, (epoch(), epoch()))
    identity = uuid.uuid5(NAMESPACE, version())
    words = ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-b", "4096", "-I", "256", "-L", "data", "-U", str(identity)]
    words += ["-O", "^metadata_csum_seed,^orphan_file", "-J", "size=4" if mib < 64 else "size=16"]
    words += ["-E", f"hash_seed={identity},root_owner=0:0,lazy_itable_init=0", "-d", copy, out, f"{mib}M"]
    run(words, env={**tools(), "E2FSPROGS_FAKE_TIME": str(epoch())})
    # Whoever builds owns the copies, and they were made now.
    inodes = []
    for path in names:
        name = path.relative_to(copy)
        owner = OWNER_OF_MAIL if name.parts[0] == "mail" else 0
        fields = {"uid": owner, "gid": owner, **dict.fromkeys(("ctime", "crtime", "atime", "mtime"), f"@{epoch()}")}
        inodes += [f'set_inode_field "/{name}" {field} {value}' for field, value in fields.items()]
    if inodes:
        told = "\n".join(inodes).encode()
        run(["debugfs", "-w", "-f", "-", out], input=told, env={**tools(), "E2FSPROGS_FAKE_TIME": str(epoch())})
    return out.read_bytes()


def tools():
    """Where a user's PATH ends too early for file systems."""
    return {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}


def run(words, **more):
    words = [str(word) for word in words]
    environment = more.pop("env", tools())
    environment.pop("SOURCE_DATE_EPOCH", None)
    try:
        done = subprocess.run(words, capture_output=True, env=environment, check=False, **more)
    except FileNotFoundError:
        raise Fault(f"needs {words[0]}") from None
    if done.returncode != 0:
        raise Fault(f"{words[0]}: {done.stderr.decode(errors='replace')}")


def disk(target, data, mib, files):
    machine = MACHINES[target]
    packages = fetched(machine.debian)
    busybox = unpacked(packages["busybox-static"], "./bin/busybox")["bin/busybox"]
    image, modules = kernel(machine, packages)
    tree = root(machine, data, busybox, image, first_root(busybox, modules))
    with tempfile.TemporaryDirectory() as directory:
        slot = squashfs(tree, directory)
        if len(slot) > SLOT_MIB * 1024 * 1024:
            raise Fault(f"{target}: a root of {len(slot)} octets; a slot has {SLOT_MIB} MiB")
        filled = ext4(mib, files, directory)
    sizes = [SLOT_MIB * 1024 * 1024] * 2 + [mib * 1024 * 1024]
    table, starts = partition_table(sizes, IDENTITY)
    return [(0, table), (starts[0], slot), (starts[1], slot), (starts[2], filled)], starts[2] + sizes[2], slot


def main():
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("--data-mib", type=int, default=DATA_MIB)
    words.add_argument("--files", type=pathlib.Path)
    words.add_argument("out", type=pathlib.Path)
    words.add_argument("binaries", nargs="+")
    given = words.parse_args()
    if given.data_mib < 8:
        raise Fault("--data-mib: 8 at least")
    given.out.mkdir(parents=True, exist_ok=True)
    for word in given.binaries:
        target, data = binary(word)
        if target not in MACHINES:
            raise Fault(f"{target}: no machine for it; there are {' '.join(MACHINES)}")
        pieces, size, slot = disk(target, data, given.data_mib, given.files)
        stem = f"dovelet-{version()}-{MACHINES[target].name}"
        path = given.out / f"{stem}.img"
        with open(path, "wb") as file:
            file.truncate(size)
            for at, piece in pieces:
                file.seek(at)
                file.write(piece)
        (given.out / f"{stem}.squashfs").write_bytes(slot)
        print(f"images: {path}: {size} octets, of them a root of {len(slot)} twice")


if __name__ == "__main__":
    try:
        main()
    except (Fault, OSError) as fault:
        sys.exit(f"images: {fault}")
