"""Verifies what build_oci.py made: check_oci.py FILE. Reads the archive by itself, and then asks skopeo, umoci and
runc, as far as they are installed, and says which were not."""
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

from packing import OCI, check_elf, verify, wanted

MAX_LAYER = 2_200_000
# Not the user of the image: any has to do.
ANY_USER = 568


class Image:
    def __init__(self, path):
        with tarfile.open(path) as archive:
            self.files = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
        wanted(json.loads(self.files["oci-layout"])["imageLayoutVersion"] == "1.0.0", "no image layout")
        self.read = {"oci-layout", "index.json"}

    def blob(self, descriptor):
        name = "blobs/" + descriptor["digest"].replace(":", "/")
        data = self.files[name]
        self.read.add(name)
        wanted(len(data) == descriptor["size"], f"{name}: its size is not that of the descriptor")
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        wanted(digest == descriptor["digest"], f"{name}: its digest is not its name")
        return data

    def check(self):
        (top,) = json.loads(self.files["index.json"])["manifests"]
        index = json.loads(self.blob(top))
        platforms = [self.check_image(descriptor) for descriptor in index["manifests"]]
        wanted(len(set(platforms)) == len(platforms), "an architecture twice")
        wanted(self.read == set(self.files), f"files that nothing names: {set(self.files) - self.read}")
        return platforms

    def check_image(self, descriptor):
        platform = descriptor["platform"]
        found = [t for t, p in OCI.items() if p == (platform["architecture"], platform.get("variant"))]
        wanted(found, f"no such platform: {platform}")
        manifest = json.loads(self.blob(descriptor))
        config = json.loads(self.blob(manifest["config"]))
        (layer,) = manifest["layers"]
        data = self.blob(layer)
        tar = gzip.decompress(data)
        digest = "sha256:" + hashlib.sha256(tar).hexdigest()
        wanted(config["rootfs"]["diff_ids"] == [digest], "the layer is not that of the configuration")
        wanted(config["architecture"] == platform["architecture"], "the configuration is of another platform")
        check_settings(config["config"])
        check_layer(found[0], tar)
        if len(data) > MAX_LAYER:
            print(f"images: {found[0]}: OVER BUDGET: layer of {len(data)} octets, {MAX_LAYER} wanted")
        return found[0]


def check_settings(config):
    user = config["User"].split(":")[0]
    wanted(user.isdigit() and user != "0", "it runs as root, or as a name that only its own passwd knows")
    wanted(config["Healthcheck"]["Test"][:3] == ["CMD", "/usr/bin/dovelet", "healthcheck"], "no health check")
    ports = [int(port.split("/")[0]) for port in config["ExposedPorts"]]
    wanted(ports and all(port >= 1024 for port in ports), "a port that needs root")
    wanted(config["Volumes"] == {"/data": {}} and config["StopSignal"] == "SIGTERM", "volumes or signal")


def check_layer(target, tar):
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        members = archive.getmembers()
        names = [member.name for member in members]
        wanted(names == sorted(set(names)), "names not sorted, or twice")
        wanted(len({member.mtime for member in members}) == 1, "more than one time")
        for member in members:
            wanted(not member.mode & 0o6000 and not member.isdev(), f"{member.name}: rights")
        binary = archive.getmember("usr/bin/dovelet")
        wanted(binary.mode == 0o755 and binary.uid == 0, "rights of the executable")
        check_elf(target, archive.extractfile(binary).read())
        wanted(archive.getmember("data").mode == 0o700, "rights of /data")


def has(program):
    found = shutil.which(program)
    if not found:
        print(f"images: skipped: no {program}")
    return found


def run(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    wanted(done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def second_opinions(path, version, platforms, directory):
    reference = f"{path}:{version}"
    if has("skopeo"):
        index = json.loads(run("skopeo", "inspect", "--raw", f"oci-archive:{reference}"))
        wanted(len(index["manifests"]) == len(platforms), "skopeo sees other architectures")
        run("skopeo", "copy", "--all", f"oci-archive:{reference}", f"oci:{directory}/copy:{version}")
        for target in platforms:
            architecture, variant = OCI[target]
            words = ["--override-arch", architecture] + (["--override-variant", variant] if variant else [])
            run("skopeo", *words, "copy", f"oci-archive:{reference}", f"oci:{directory}/{target}:{version}")
            run("skopeo", *words, "copy", f"oci-archive:{reference}", f"docker-archive:{directory}/{target}.tar")
    own = "x86_64"
    if own not in platforms or not has("skopeo") or not has("umoci"):
        return
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    run("umoci", "unpack", *rootless, "--image", f"{directory}/{own}:{version}", f"{directory}/bundle")
    if os.geteuid() != 0:
        print("images: skipped: runc (not root)")
    elif has("runc"):
        serve_in_container(directory)


def serve_in_container(directory):
    """As any user, without capabilities, on a read-only root: it serves, is healthy and ends when told."""
    bundle = f"{directory}/bundle"
    data = f"{directory}/data"
    os.mkdir(data, 0o700)
    os.chown(data, ANY_USER, ANY_USER)
    os.chmod(directory, 0o755)
    with open(f"{bundle}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    process = config["process"]
    process["terminal"], process["noNewPrivileges"] = False, True
    process["user"] = {"uid": ANY_USER, "gid": ANY_USER}
    process["capabilities"] = {}
    config["root"]["readonly"] = True
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] not in ("/data", "/sys/fs/cgroup")]
    config["mounts"].append({"destination": "/data", "type": "bind", "source": data, "options": ["bind", "rw"]})
    # Without cgroups: where this runs there may be none to make.
    config["linux"].pop("resources", None)
    config["linux"].pop("uidMappings", None)
    with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    name = f"dovelet-{os.getpid()}"
    words = ["runc", "--root", f"{directory}/runc"]
    log = open(f"{directory}/log", "w", encoding="utf-8")
    container = subprocess.Popen([*words, "run", "--bundle", bundle, name], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    health = [*words, "exec", name, "/usr/bin/dovelet", "healthcheck", "--config", "/etc/dovelet/dovelet.toml"]
    try:
        for _ in range(150):
            healthy = subprocess.run(health, capture_output=True, text=True, check=False)
            if healthy.returncode == 0 or container.poll() is not None:
                break
            time.sleep(0.2)
        with open(f"{directory}/log", encoding="utf-8") as said:
            wanted(healthy.returncode == 0, f"not healthy: {healthy.stdout}{healthy.stderr}{said.read()}")
        print("images: runc: " + "; ".join(healthy.stdout.splitlines()))
        run(*words, "kill", name, "TERM")
        begin = time.monotonic()
        wanted(container.wait(timeout=10) == 0, "it does not end well when told to")
        print(f"images: runc: ended with 0 after {time.monotonic() - begin:.1f} s")
    finally:
        subprocess.run([*words, "delete", "--force", name], capture_output=True, check=False)


def main(path):
    version = path.name.rsplit("dovelet-", 1)[1].removesuffix("-oci.tar")
    platforms = Image(path).check()
    with tempfile.TemporaryDirectory(prefix="dovelet-oci-") as directory:
        second_opinions(path, version, platforms, directory)
    print(f"images: {path}: good, for {' '.join(platforms)}")


if __name__ == "__main__":
    verify(main, sys.argv[1:])
