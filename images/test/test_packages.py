"""Every builder and every verifier, with executables that are headers only: what is built is good and the same
twice, and what was tampered with is found. With real executables see tests/appliance.sh packages."""
import contextlib
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import build_deb, build_ipk, build_oci, build_spk  # noqa: E402
import check_deb, check_ipk, check_oci, check_spk  # noqa: E402
import sbom  # noqa: E402
from packing import DEBIAN, MACHINES, OCI, Fault, binary  # noqa: E402

WIDE = {"x86_64", "aarch64"}
KINDS = {
    "oci": (build_oci, OCI, lambda path: check_oci.Image(path).check()),
    "deb": (build_deb, DEBIAN, check_deb.check),
    "ipk": (build_ipk, MACHINES, check_ipk.check),
    "spk": (build_spk, build_spk.ARCHITECTURES, lambda path: check_spk.check(path, live=False)),
}


def executable(target, program_headers=b""):
    """A header of ELF, for a machine."""
    wide = target in WIDE
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    size = 64 if wide else 52
    layout = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
    entry = 56 if wide else 32
    count = len(program_headers) // entry
    head = struct.pack(layout, 3, MACHINES[target], 1, 0, size, 0, 0, size, entry, count, 0, 0, 0)
    return ident + head + program_headers


class Packages(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.root = pathlib.Path(self.directory.name)
        for target in MACHINES:
            (self.root / target).write_bytes(executable(target))
        os.environ["SOURCE_DATE_EPOCH"] = "1700000000"

    def build(self, kind, out):
        builder, targets, _ = KINDS[kind]
        with contextlib.redirect_stdout(io.StringIO()):
            builder.build(self.root / out, [binary(f"{t}={self.root / t}") for t in sorted(targets)])
        return sorted((self.root / out).iterdir())

    def check(self, kind, path):
        with contextlib.redirect_stdout(io.StringIO()):
            KINDS[kind][2](path)

    def test_what_is_built_is_good_and_the_same_twice(self):
        for kind in KINDS:
            first = self.build(kind, f"{kind}-1")
            second = self.build(kind, f"{kind}-2")
            self.assertTrue(first, kind)
            self.assertEqual([p.name for p in first], [p.name for p in second])
            for one, other in zip(first, second):
                self.assertEqual(one.read_bytes(), other.read_bytes(), one.name)
                self.check(kind, one)

    def test_what_was_tampered_with_is_found(self):
        for kind in KINDS:
            path = self.build(kind, kind)[0]
            good = path.read_bytes()
            for at in (len(good) // 5, len(good) // 3, len(good) // 2):
                # Where something is: between files there may be nothing but zeros, which nobody reads.
                at = next(place for place in range(at, len(good)) if good[place])
                path.write_bytes(good[:at] + bytes([good[at] ^ 0x20]) + good[at + 1 :])
                with self.assertRaises(Exception, msg=f"{kind}, octet {at}"):
                    self.check(kind, path)
            path.write_bytes(good)
            self.check(kind, path)

    def test_a_machine_that_is_too_old_is_told_so(self):
        script = HERE.parent.parent / "board/systemd/debian/preinst"
        for machine, code in (("armv6l", 1), ("armv7l", 0), ("x86_64", 0)):
            uname = self.root / "uname"
            uname.write_text(f"#!/bin/sh\necho {machine}\n")
            uname.chmod(0o755)
            path = {"PATH": f"{self.root}:/usr/bin:/bin"}
            for word in ("install", "upgrade"):
                done = subprocess.run(["sh", script, word], env=path, capture_output=True, check=False)
                self.assertEqual(done.returncode, code, machine)
                self.assertEqual(b"ARMv6" in done.stderr, code == 1)

    def test_executables_are_for_their_machine_and_need_nothing(self):
        for target in MACHINES:
            self.assertEqual(binary(f"{target}={self.root / target}")[0], target)
        wrong = [f"aarch64={self.root / 'x86_64'}", f"x86_64={__file__}", "x86_64", f"sparc={self.root / 'arm'}"]
        # PT_INTERP: a dynamic linker is needed.
        (self.root / "dynamic").write_bytes(executable("x86_64", struct.pack("<II", 3, 4) + bytes(48)))
        for word in [*wrong, f"x86_64={self.root / 'dynamic'}"]:
            with self.assertRaises(Fault, msg=word):
                binary(word)

    def test_a_release_is_described_and_signed(self):
        out, words = self.root / "out", ["python3", str(HERE.parent / "manifest.py")]
        self.build("deb", "out")
        (out / "bin").mkdir()
        (out / "bin/dovelet").write_bytes(executable("x86_64"))
        if subprocess.run([*words, out], capture_output=True, check=False).returncode != 0:
            self.skipTest("not in a repository of git")
        rows = json.loads((out / "manifest.json").read_text())["files"]
        kinds = {row["name"]: row["kind"] for row in rows}
        self.assertEqual(kinds["bin/dovelet"], "executable")
        self.assertEqual(sum(kind == "Debian package" for kind in kinds.values()), 3)
        sums = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=out, check=False)
        self.assertEqual(sums.returncode, 0)

    def test_what_is_linked_in_and_on_a_disk_is_told_with_its_licence(self):
        text = self.root / "cross/tools/musl/COPYRIGHT"
        text.parent.mkdir(parents=True)
        text.write_text("musl's own words\n")
        told = sbom.licences([], self.root / "cross")
        self.assertIn("(MIT)\n\nmusl's own words\n", told)
        self.assertIn("rust-std", told.partition("Without a text of their own")[2])
        self.assertEqual(sbom.disk_licences(self.root), "")
        (self.root / "dovelet-1-virt.img").write_bytes(b"")
        told = sbom.disk_licences(self.root)
        self.assertIn("busybox-static", told)
        self.assertNotIn("mipsel", told)
        names = [other[1] for other in sbom.others(self.root, self.root / "cross")]
        self.assertEqual(names[:4], ["musl", "libunwind", "llvm-libc", "rust-std"])
        self.assertEqual(len(names), 6)


if __name__ == "__main__":
    unittest.main()
