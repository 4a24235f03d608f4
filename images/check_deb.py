"""Verifies what build_deb.py made: check_deb.py FILE... Reads the packages by itself, then asks lintian and
systemd-analyze if they are installed. For the installation in a system of its own see install_deb."""
import hashlib
import io
import lzma
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

from packing import DEBIAN, check_elf, verify, wanted

# Of `systemd-analyze security`, in tenths: 1.5.
MAX_EXPOSURE = 15
WANTED = {"usr/bin/dovelet", "lib/systemd/system/dovelet.service", "lib/systemd/system/dovelet.socket"}
WANTED |= {"usr/lib/sysusers.d/dovelet.conf", "usr/lib/tmpfiles.d/dovelet.conf", "etc/dovelet/dovelet.toml"}


def members(data):
    """Names and octets of an archive of ar(5)."""
    wanted(data[:8] == b"!<arch>\n", "no archive of ar")
    at, found = 8, []
    while at < len(data):
        head = data[at : at + 60]
        wanted(head[58:] == b"`\n", "a broken header")
        size = int(head[48:58])
        found.append((head[:16].decode().strip(), data[at + 60 : at + 60 + size]))
        at += 60 + size + size % 2
    return found


def files(archive):
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = [member.name for member in tar.getmembers()]
        wanted(names == sorted(names) and len(set(names)) == len(names), "names not sorted, or twice")
        for member in tar:
            wanted((member.uid, member.gid, member.uname) == (0, 0, "root"), f"{member.name}: owner")
            wanted(not member.mode & 0o6022, f"{member.name}: others may write it")
            if member.isfile():
                found[member.name.removeprefix("./")] = tar.extractfile(member).read()
    return found


def fields(text):
    return dict(re.findall(r"^([A-Za-z-]+): (.*)$", text, re.MULTILINE))


def check(path):
    (first, mark), (second, control), (third, data) = members(path.read_bytes())
    wanted((first, mark, second, third) == ("debian-binary", b"2.0\n", "control.tar.xz", "data.tar.xz"), "members")
    control, data = files(lzma.decompress(control)), files(lzma.decompress(data))
    said = fields(control["control"].decode())
    name = f"{said['Package']}_{said['Version']}_{said['Architecture']}.deb"
    wanted(name == path.name, f"it is {name}")
    wanted(WANTED <= set(data), f"missing: {WANTED - set(data)}")
    (target,) = [target for target, own in DEBIAN.items() if own == said["Architecture"]]
    check_elf(target, data["usr/bin/dovelet"])
    conffiles = control["conffiles"].decode().split()
    below = ["/" + name for name in data if name.startswith("etc/")]
    wanted(conffiles == below, "what is below /etc is not what dpkg treats as settings")
    for line in control["md5sums"].decode().splitlines():
        digest, name = line.split("  ")
        wanted(hashlib.md5(data[name]).hexdigest() == digest, f"{name}: its sum")
    for script in ("preinst", "postinst", "prerm", "postrm"):
        done = subprocess.run(["sh", "-n"], input=control[script], capture_output=True, check=False)
        wanted(done.returncode == 0, f"{script}: {done.stderr.decode()}")
    check_ports(data)
    return data


def check_ports(data):
    """Every socket of systemd is that of a listener, and the other listeners need no root."""
    unit = data["lib/systemd/system/dovelet.socket"].decode()
    bound = set(re.findall(r"^ListenStream=(.*)$", unit, re.MULTILINE))
    listeners = re.findall(r'^address = "(.*)"$', data["etc/dovelet/dovelet.toml"].decode(), re.MULTILINE)
    wanted(bound <= set(listeners), f"sockets without a listener: {bound - set(listeners)}")
    for address in set(listeners) - bound:
        wanted(int(address.rsplit(":", 1)[1]) >= 1024, f"{address} needs root")


def ask(program, *words):
    if not shutil.which(program):
        print(f"images: skipped: no {program}")
        return
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    wanted(done.returncode == 0, f"{program}: {done.stdout}{done.stderr}")


def main(path):
    data = check(path)
    ask("lintian", "--no-cfg", "--allow-root", "--fail-on", "error,warning", str(path))
    with tempfile.TemporaryDirectory() as directory:
        unit = pathlib.Path(directory, "dovelet.service")
        unit.write_bytes(data["lib/systemd/system/dovelet.service"])
        words = ["security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", "--no-pager", str(unit)]
        ask("systemd-analyze", *words)
    print(f"images: {path}: good")


if __name__ == "__main__":
    verify(main, sys.argv[1:])
