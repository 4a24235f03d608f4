"""Verifies what build_ipk.py made: check_ipk.py FILE... Reads the packages as opkg does, and runs the script of the
service with a shell that has what procd has (busybox if it is installed)."""
import gzip
import io
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

from build_ipk import architectures
from packing import MACHINES, check_elf, verify, wanted

MAX_OCTETS = 2_000_000
SHIM = pathlib.Path(__file__).parent / "test/procd.sh"


def files(packed):
    """Names, and octets with their rights, of a compressed archive."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        for member in tar:
            wanted((member.uid, member.gid) == (0, 0), f"{member.name}: owner")
            wanted(member.name.startswith("./") or member.name == ".", f"{member.name}: not below ./")
            if member.isfile():
                found[member.name[2:]] = (tar.extractfile(member).read(), member.mode)
    return found


def run_service(script, directory, checked, **settings):
    """What the script tells procd with these settings, and a `dovelet check-data` that ends so."""
    program = pathlib.Path(directory, "dovelet")
    program.write_text(f"#!/bin/sh\necho 'it is a layer' >&2\nexit {checked}\n")
    program.chmod(0o755)
    lines = [f"set_{name}='{value}'" for name, value in settings.items()]
    text = script.replace("PROG=/usr/bin/dovelet", f"PROG={program}")
    whole = "\n".join([SHIM.read_text(), *lines, text, "start_service", "service_triggers"])
    shell = ["busybox", "sh"] if shutil.which("busybox") else ["sh"]
    done = subprocess.run([*shell, "-eu"], input=whole, capture_output=True, text=True, check=False)
    wanted(done.returncode == 0, f"the script of the service: {done.stderr}")
    return done.stdout


def check_service(script):
    with tempfile.TemporaryDirectory() as directory:
        on = {"main_enabled": 1, "main_data_dir": directory}
        started = run_service(script, directory, 0, **on)
        for told in ("serve --uci", "set_param respawn", "set_param file /etc/config/dovelet", "close_instance"):
            wanted(told in started, f"procd is not told: {told}")
        wanted(f"add_restart_mount_trigger {directory}" in started, "a disk that comes starts nothing")
        wanted("log:" not in started, f"it logs: {started}")
        for settings, checked, said in (
            ({}, 0, ""),
            ({**on, "main_enabled": 0}, 0, ""),
            ({**on, "main_data_dir": "/nonexistent"}, 0, "there is no directory /nonexistent"),
            (on, 1, "it is a layer"),
        ):
            idle = run_service(script, directory, checked, **settings)
            wanted("open_instance" not in idle and said in idle, f"started, or silent, with {settings}: {idle}")
        anyway = run_service(script, directory, 1, **on, storage_unfit_file_system="warn")
        wanted("serve --uci" in anyway, "not started where it is allowed")


def check(path):
    whole = files(path.read_bytes())
    wanted(list(whole) == ["control.tar.gz", "data.tar.gz", "debian-binary"], f"members: {list(whole)}")
    wanted(whole["debian-binary"][0] == b"2.0\n", "version of the format")
    control, data = files(whole["control.tar.gz"][0]), files(whole["data.tar.gz"][0])
    said = dict(re.findall(r"^([A-Za-z-]+): (.*)$", control["control"][0].decode(), re.MULTILINE))
    name = f"{said['Package']}_{said['Version']}_{said['Architecture']}.ipk"
    wanted(name == path.name, f"it is {name}")
    (target,) = [own for own in MACHINES if said["Architecture"] in architectures(own)]
    check_elf(target, data["usr/bin/dovelet"][0])
    wanted(int(said["Installed-Size"]) == sum(len(octets) for octets, _ in data.values()), "Installed-Size")
    for conffile in control["conffiles"][0].decode().split():
        wanted(conffile[1:] in data, f"there is no {conffile}")
    wanted(data["etc/config/dovelet"][1] == 0o600, "others can read the settings")
    wanted("/etc/config/dovelet" in data["lib/upgrade/keep.d/dovelet"][0].decode().split(), "settings are not kept")
    for name, (octets, mode) in {**control, **data}.items():
        if octets.startswith(b"#!"):
            wanted(mode == 0o755, f"{name} cannot be run")
            shell = ["busybox", "sh", "-n"] if shutil.which("busybox") else ["sh", "-n"]
            wanted(subprocess.run(shell, input=octets, check=False).returncode == 0, f"{name}: syntax")
    check_service(data["etc/init.d/dovelet"][0].decode())
    octets = path.stat().st_size
    over = f", OVER BUDGET: {octets} octets, {MAX_OCTETS} wanted" if octets > MAX_OCTETS else ""
    print(f"images: {path}: good{over}")


if __name__ == "__main__":
    verify(check, sys.argv[1:])
