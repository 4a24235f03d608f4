"""Verifies what build_spk.py made: check_spk.py FILE... Reads the packages as DSM does. One for this machine is also
installed below a directory, started, asked for, upgraded and stopped by its own scripts."""
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time

from build_spk import ARCHITECTURES, SCRIPTS
from packing import Fault, check_elf, verify, wanted

SHELL = ["busybox", "sh"] if shutil.which("busybox") else ["sh"]


def files(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = [member.name for member in tar.getmembers()]
        wanted(names == sorted(set(names)), "names not sorted, or twice")
        return {m.name: (tar.extractfile(m).read(), m.mode) for m in tar if m.isfile()}


def check(path, live=True):
    whole = {name: octets for name, (octets, _) in files(path.read_bytes()).items()}
    info = dict(re.findall(r'^(\w+)="(.*)"$', whole["INFO"].decode(), re.MULTILINE))
    (target,) = [own for own, names in ARCHITECTURES.items() if info["arch"] == names]
    wanted(path.name == f"dovelet-{info['version']}-{target}.spk", "its name")
    wanted(info["checksum"] == hashlib.md5(whole["package.tgz"]).hexdigest(), "checksum of package.tgz")
    wanted("@" not in whole["INFO"].decode(), "a word of INFO that was not replaced")
    inner = files(gzip.decompress(whole["package.tgz"]))
    binary, mode = inner["bin/dovelet"]
    wanted(mode == 0o755, "rights of the executable")
    check_elf(target, binary)
    wanted(json.loads(whole["conf/privilege"])["defaults"]["run-as"] == "package", "it would run as root")
    resource = json.loads(whole["conf/resource"])
    wanted(resource["port-config"]["protocol-file"] in inner, "no file of ports")
    wanted(set(resource["usr-local-linker"]["bin"]) <= set(inner), "no such executable")
    wanted({f"scripts/{script}" for script in SCRIPTS} <= set(whole), "a script is missing")
    ports = set(re.findall(r'dst.ports="(\d+)/tcp"', inner[resource["port-config"]["protocol-file"]][0].decode()))
    listening = set(re.findall(r'address = "\[::\]:(\d+)"', inner["dovelet.toml"][0].decode()))
    wanted(ports == listening and all(int(port) >= 1024 for port in ports), "ports of the firewall and of the settings")
    for name, size in (("PACKAGE_ICON.PNG", 64), ("PACKAGE_ICON_256.PNG", 256)):
        wanted(struct.unpack_from(">II", whole[name], 16) == (size, size), f"size of {name}")
    if live and target == platform.machine():
        run(whole, inner)
    print(f"images: {path}: good")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Nas:
    """A directory that is to the scripts what DSM is."""

    def __init__(self, root, whole, inner):
        self.root = pathlib.Path(root)
        for name in ("target/bin", "target/port", "var", "share", "scripts"):
            (self.root / name).mkdir(parents=True)
        for name, (octets, mode) in inner.items():
            (self.root / "target" / name).write_bytes(octets)
            (self.root / "target" / name).chmod(mode)
        for script in SCRIPTS:
            (self.root / "scripts" / script).write_bytes(whole[f"scripts/{script}"])
        self.environment = {
            **os.environ,
            "SYNOPKG_PKGDEST": f"{root}/target",
            "SYNOPKG_PKGVAR": f"{root}/var",
            "SYNOPKG_TEMP_LOGFILE": f"{root}/told",
            "DOVELET_SHARE": f"{root}/share",
        }

    def call(self, *words):
        script = self.root / "scripts" / words[0]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run([*SHELL, script, *words[1:]], env=self.environment, check=False, **quiet).returncode


def run(whole, inner):
    with tempfile.TemporaryDirectory(prefix="dovelet-spk-") as root:
        nas = Nas(root, whole, inner)
        wanted(nas.call("postinst") == 0, "postinst")
        settings = nas.root / "var/dovelet.toml"
        text = settings.read_text()
        wanted(f'data_dir = "{root}/share"' in text, "the settings do not name the share")
        for old, new in zip(re.findall(r":(\d+)\"", text), free_ports(4)):
            text = text.replace(f"[::]:{old}", f"127.0.0.1:{new}").replace(f".1:{old}", f".1:{new}")
        settings.write_text(text)
        wanted(nas.call("postinst") == 0 and settings.read_text() == text, "an upgrade changes settings")
        steps = [("status", 3), ("start", 0), ("status", 0), ("start", 0), ("stop", 0), ("status", 3)]
        for word, code in steps:
            found = nas.call("start-stop-status", word)
            log = nas.root / "var/dovelet.log"
            wanted(found == code, f"{word} ends with {found}, not {code}: {log.read_text() if log.exists() else ''}")
        wanted(nas.call("start-stop-status", "start") == 0, "it does not start again")
        os.kill(int((nas.root / "var/dovelet.pid").read_text()), signal.SIGKILL)
        for _ in range(300):
            if nas.call("start-stop-status", "status") == 1:
                break
            # Until somebody took note of its end there still is such a process.
            time.sleep(0.1)
        else:
            raise Fault("that it died is not told")
        settings.write_text("nonsense")
        nas.call("start-stop-status", "stop")
        wanted(nas.call("start-stop-status", "start") == 1, "it starts with settings that are none")
        wanted("fault" in (nas.root / "told").read_text(), "why it does not start is not told")


if __name__ == "__main__":
    verify(check, sys.argv[1:])
