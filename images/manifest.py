"""Describes a release: manifest.py DIRECTORY. Leaves manifest.json and SHA256SUMS there, over all its files."""
import hashlib
import json
import pathlib
import subprocess
import sys

from packing import PROJECT, epoch, version

# Of the endings of names.
KINDS = {".deb": "Debian package", ".ipk": "OpenWrt package", ".spk": "Synology package", "-oci.tar": "OCI image"}
# They are about the others.
LAST = ("manifest.json", "SHA256SUMS", "SHA256SUMS.sig", "signing-key.pub")


def asked(*words):
    return subprocess.run(words, cwd=PROJECT, check=True, capture_output=True, text=True).stdout.strip()


def toolchain():
    """What cross/build is made of."""
    lines = (PROJECT / "cross/versions.lock").read_text().splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {row[1]: row[2] for row in rows if row[1] in ("rustc-web", "musl", "ziglang", "libllvmlibc-19-dev")}


def described(root, path):
    data = path.read_bytes()
    name = path.relative_to(root).as_posix()
    kind = next((kind for end, kind in KINDS.items() if name.endswith(end)), None)
    kind = kind or ("executable" if name.startswith("bin/") else "document")
    return {"name": name, "kind": kind, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def main(directory):
    root = pathlib.Path(directory)
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in LAST)
    rows = [described(root, path) for path in files]
    whole = {
        "name": "dovelet",
        "version": version(),
        "commit": asked("git", "rev-parse", "HEAD"),
        "changed_since": bool(asked("git", "status", "--porcelain", "--untracked-files=no")),
        "time": epoch(),
        "toolchain": toolchain(),
        "files": rows,
    }
    (root / "manifest.json").write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n")
    rows.append(described(root, root / "manifest.json"))
    lines = [f"{row['sha256']}  {row['name']}\n" for row in sorted(rows, key=lambda row: row["name"])]
    (root / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
