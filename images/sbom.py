"""Writes what a release is made of: sbom.py OUT [CROSS]

Leaves OUT/dovelet-VERSION.cdx.json, a CycloneDX 1.5 list of every crate in the executable and of those that only
built it, with the sums of Cargo.lock, and OUT/THIRD-PARTY-LICENCES.txt with the texts of their licences. Both also name
what cross/build links in from elsewhere, the texts of which are taken from CROSS (target/cross without a word), and what of
Debian's is on a disk that is in OUT."""
import json
import pathlib
import subprocess
import sys
import tomllib
import urllib.parse
import uuid

from packing import PROJECT, Fault, manifest, version, write

# Of all targets; the crates for Linux are the same.
TARGET = "x86_64-unknown-linux-musl"
# Where authors put licences.
NAMES = ("LICENSE", "LICENCE", "COPYING", "UNLICENSE", "NOTICE", "COPYRIGHT")
HEAD = "dovelet contains the following, under these licences.\n"
# What cross/build links in: as cross/versions.lock calls it, what it is, its licence, and the text of that below CROSS.
LINKED = (
    ("musl", "musl", "MIT", "tools/musl/COPYRIGHT"),
    ("ziglang", "libunwind", "Apache-2.0 WITH LLVM-exception", "tools/zig/lib/libunwind/LICENSE.TXT"),
    ("libllvmlibc-19-dev", "llvm-libc", "Apache-2.0 WITH LLVM-exception", "tools/zig/lib/libunwind/LICENSE.TXT"),
    ("rustc-web", "rust-std", "MIT OR Apache-2.0", None),
)
# Of the packages in images/virt.lock; both are under this one.
GPL = "GPL-2.0-only"
GPL_TEXT = pathlib.Path("/usr/share/common-licenses/GPL-2")
DISK = """On the disk for QEMU there are also these packages of Debian, as they are, under the GNU General Public License,
version 2. Their source is at https://snapshot.debian.org, under these names and versions."""
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def metadata():
    words = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    return json.loads(subprocess.run(words, cwd=PROJECT, check=True, capture_output=True).stdout)


def reached(data):
    """Every crate that is needed, and whether it is in the executable (else it only takes part in the build)."""
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    macros = {i for i, p in packages.items() if any("proc-macro" in t["kind"] for t in p["targets"])}
    found, waiting = {}, [(data["resolve"]["root"], True)]
    while waiting:
        name, inside = waiting.pop()
        inside = inside and name not in macros
        if found.get(name, None) in (True, inside):
            continue
        found[name] = inside
        for dependency in nodes[name]["deps"]:
            kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
            if None in kinds:
                waiting.append((dependency["pkg"], inside))
            elif "build" in kinds:
                waiting.append((dependency["pkg"], False))
    return [(packages[name], inside) for name, inside in found.items() if name != data["resolve"]["root"]], nodes


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def sums():
    lock = tomllib.loads((PROJECT / "Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in lock}


def component(package, inside, checksums):
    digest = checksums[package["name"], package["version"]]
    if not digest or package["source"] != CRATES_IO:
        raise Fault(f"{package['name']} is not from crates.io")
    if not package["license"]:
        raise Fault(f"{package['name']} does not say its licence")
    return {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "scope": "required" if inside else "excluded",
        "purl": purl(package),
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [{"expression": package["license"].replace("/", " OR ")}],
    }


def bill(crates, nodes, root, others):
    checksums, package = sums(), manifest()
    names = {crate["id"]: purl(crate) for crate, _ in crates}
    own = {"type": "application", "bom-ref": f"pkg:cargo/dovelet@{version()}", "name": "dovelet", "version": version()}
    own["licenses"] = [{"expression": package["license"]}]
    needs = {own["bom-ref"]: root, **{name: ident for ident, name in names.items()}}
    dependencies = [
        {"ref": ref, "dependsOn": sorted(names[i] for i in nodes[ident]["dependencies"] if i in names)}
        for ref, ident in sorted(needs.items())
    ]
    lock = (PROJECT / "Cargo.lock").read_text()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same for the same crates.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, lock)}",
        "version": 1,
        "metadata": {"component": own},
        "components": [component(crate, inside, checksums) for crate, inside in crates] + others,
        "dependencies": dependencies,
    }


def locked(path, name):
    """The version of each thing in a lock of this project; `name`: the column it is called by, before its version."""
    lines = (PROJECT / path).read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {row[name]: row[name + 1] for row in rows}


def linked(cross):
    """What is in the executable beside crates: a name with version and licence, and the text of that if there is one."""
    versions = locked("cross/versions.lock", 1)
    for name, what, licence, place in LINKED:
        file = place and cross / place
        text = file.read_text().strip() if file and file.is_file() else None
        yield what, versions[name], licence, text


def on_disk(out):
    """Packages of Debian on the disks that are there: name, architecture, version."""
    machines = {"virt": "arm64", "malta": "mipsel"}
    wanted = [architecture for machine, architecture in machines.items() if list(out.glob(f"*-{machine}.img"))]
    for package, version_there in locked("images/virt.lock", 0).items():
        name, _, architecture = package.partition(":")
        if architecture in wanted:
            yield name, architecture, version_there


def others(out, cross):
    """Components that are no crates."""
    for what, version_there, licence, _ in linked(cross):
        ref = f"pkg:generic/{what}@{urllib.parse.quote(version_there)}"
        yield ref, what, version_there, licence
    for name, architecture, version_there in on_disk(out):
        ref = f"pkg:deb/debian/{name}@{urllib.parse.quote(version_there)}?arch={architecture}"
        yield ref, name, version_there, GPL


def other(ref, name, version_there, licence):
    return {
        "type": "library",
        "bom-ref": ref,
        "name": name,
        "version": version_there,
        "scope": "required",
        "purl": ref,
        "licenses": [{"expression": licence}],
    }


def disk_licences(out):
    names = [f"{name} {version_there} ({architecture})" for name, architecture, version_there in on_disk(out)]
    if not names:
        return ""
    text = GPL_TEXT.read_text() if GPL_TEXT.is_file() else ""
    return "-" * 72 + "\n" + DISK + "\n\n" + "\n".join(names) + "\n\n" + text


def licences(crates, cross):
    """The texts, each once, with what comes under it."""
    texts, without = {}, []
    for what, version_there, licence, text in linked(cross):
        label = f"{what} {version_there} ({licence})"
        if text:
            texts.setdefault(text, []).append(label)
        else:
            without.append(label)
    for crate, _ in crates:
        directory = pathlib.Path(crate["manifest_path"]).parent
        files = sorted(f for f in directory.iterdir() if f.is_file() and f.name.upper().startswith(NAMES))
        label = f"{crate['name']} {crate['version']} ({crate['license']})"
        if not files:
            without.append(label)
        for file in files:
            texts.setdefault(file.read_text(errors="replace").strip(), []).append(label)
    parts = [HEAD]
    for text, labels in texts.items():
        parts.append("-" * 72 + "\n" + "\n".join(dict.fromkeys(labels)) + "\n\n" + text + "\n")
    if without:
        parts.append("-" * 72 + "\nWithout a text of their own:\n" + "\n".join(without) + "\n")
    return "\n".join(parts)


def main(out, cross=PROJECT / "target/cross"):
    out, cross, data = pathlib.Path(out), pathlib.Path(cross), metadata()
    crates, nodes = reached(data)
    crates.sort(key=lambda crate: (crate[0]["name"], crate[0]["version"]))
    more = [other(*one) for one in others(out, cross)]
    text = json.dumps(bill(crates, nodes, data["resolve"]["root"], more), indent=1, sort_keys=True) + "\n"
    write(out / f"dovelet-{version()}.cdx.json", text.encode())
    inside = [crate for crate in crates if crate[1]]
    write(out / "THIRD-PARTY-LICENCES.txt", (licences(inside, cross) + disk_licences(out)).encode())


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (Fault, OSError, KeyError) as fault:
        sys.exit(f"images: {fault}")
