"""Writes what a release is made of: sbom.py OUT

Leaves OUT/dovelet-VERSION.cdx.json, a CycloneDX 1.5 list of every crate in the executable and of those that only
built it, with the sums of Cargo.lock, and OUT/THIRD-PARTY-LICENCES.txt with the texts of their licences."""
import json
import pathlib
import subprocess
import sys
import tomllib
import uuid

from packing import PROJECT, Fault, manifest, version, write

# Of all targets; the crates for Linux are the same.
TARGET = "x86_64-unknown-linux-musl"
# Where authors put licences.
NAMES = ("LICENSE", "LICENCE", "COPYING", "UNLICENSE", "NOTICE", "COPYRIGHT")
HEAD = "dovelet contains the following crates, under these licences.\n"
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


def bill(crates, nodes, root):
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
        "components": [component(crate, inside, checksums) for crate, inside in crates],
        "dependencies": dependencies,
    }


def licences(crates):
    """The texts, each once, with the crates that come under it."""
    texts, without = {}, []
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


def main(out):
    out, data = pathlib.Path(out), metadata()
    crates, nodes = reached(data)
    crates.sort(key=lambda crate: (crate[0]["name"], crate[0]["version"]))
    text = json.dumps(bill(crates, nodes, data["resolve"]["root"]), indent=1, sort_keys=True) + "\n"
    write(out / f"dovelet-{version()}.cdx.json", text.encode())
    inside = [crate for crate in crates if crate[1]]
    write(out / "THIRD-PARTY-LICENCES.txt", licences(inside).encode())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1])
    except (Fault, OSError, KeyError) as fault:
        sys.exit(f"images: {fault}")
