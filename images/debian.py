"""Packages of Debian that images are made of, verified by a lock: lines `package:architecture version file sha256`.

An apt of its own below target/images/: signatures are verified as ever, no list of the system is touched."""
import hashlib
import io
import os
import pathlib
import subprocess
import sys
import tarfile

from packing import PROJECT, Fault

LOCK = PROJECT / "images/virt.lock"
BASE = PROJECT / "target/images"
SEEDS = ["linux-image-arm64:arm64", "busybox-static:arm64", "linux-image-4kc-malta:mipsel", "busybox-static:mipsel"]
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def apt_environment():
    """The environment in which apt knows the packages of every architecture that is wanted."""
    apt = BASE / "apt"
    for directory in ("lists/partial", "cache/archives/partial"):
        (apt / directory).mkdir(parents=True, exist_ok=True)
    mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org")
    (apt / "sources.list").write_text(
        f"deb [signed-by={KEYS}] {mirror}/debian bookworm main\n"
        f"deb [signed-by={KEYS}] {mirror}/debian-security bookworm-security main\n"
    )
    (apt / "status").write_text("")
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    (apt / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "-";\nDir::State "{apt}";\n'
        f'Dir::State::status "{apt}/status";\nDir::Cache "{apt}/cache";\nAPT::Architecture "amd64";\n'
        'APT::Architectures { "amd64"; "arm64"; "mipsel"; };\n'
        f'APT::Sandbox::User "{user}";\nAcquire::Languages "none";\n'
    )
    return {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}


def rows():
    lines = LOCK.read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetched(architecture):
    """Paths of the files of all packages for an architecture, by their names without it."""
    wanted = [row for row in rows() if row[0].endswith(f":{architecture}")]
    store = BASE / "download"
    store.mkdir(parents=True, exist_ok=True)
    try:
        return {row[0].partition(":")[0]: file_of(row, store) for row in wanted}
    except Gone as fault:
        print(f"images: WARNING: {fault}: taking what is newest. --update makes that the lock.", file=sys.stderr)
    environment = apt_environment()
    newer = [newest(environment, seed) for seed in SEEDS if seed.endswith(f":{architecture}")]
    return {row[0].partition(":")[0]: file_of(row, store) for row in newer}


class Gone(Fault):
    """What the lock names is not to be had any more."""


def file_of(row, store):
    name, version, file, expected = row
    path = store / file
    if not path.exists():
        environment = apt_environment()
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
        subprocess.run(["apt-get", "download", "-qq", f"{name}={version}"], cwd=store, env=environment, check=False)
        if not path.exists():
            raise Gone(f"Debian does not give {name} {version}")
    if digest(path) != expected:
        path.unlink()
        raise Fault(f"{file} is not what images/virt.lock says")
    return path


def unpacked(package, under):
    """The files of a package below a directory of it, as a map from path to octets."""
    tar = subprocess.run(["dpkg", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            if member.isfile() and member.name.startswith(under):
                found[member.name.removeprefix("./")] = archive.extractfile(member).read()
    return found


def newest(environment, name):
    """A row of the lock for the newest version of a package, or of what it stands for."""
    architecture = name.partition(":")[2]
    shown = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", name], check=True, capture_output=True, text=True, env=environment
    ).stdout
    fields = dict(line.split(": ", 1) for line in shown.splitlines() if ": " in line and line[0] != " ")
    depends = fields.get("Depends", "").split(" ")[0].rstrip(",")
    # A package of the kind linux-image-arm64 holds nothing.
    if name.startswith("linux-image-") and depends.startswith("linux-image-"):
        return newest(environment, f"{depends}:{architecture}")
    # As apt-get names what it downloads.
    stem, _, rest = pathlib.PurePosixPath(fields["Filename"]).name.partition("_")
    version = fields["Version"]
    file = f"{stem}_{version.replace(':', '%3a')}_{rest.rsplit('_', 1)[1]}"
    return name, version, file, fields["SHA256"]


def update():
    environment = apt_environment()
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    comment = [line for line in LOCK.read_text().splitlines() if line.startswith("#")]
    lines = [" ".join(newest(environment, seed)) for seed in SEEDS]
    LOCK.write_text("\n".join(comment + lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit("images/debian.py --update: writes images/virt.lock anew, with what is newest")
    update()
