"""A machine of QEMU that is started from a disk, stopped hard, and asked over its console."""
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "images"))
from boot_virt import FORWARDED, command, machine_of, take_out  # noqa: E402


def free_ports(count):
    """Ports that nobody has at this moment; held at once, so that all are different."""
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Machine:
    """One disk. `imap`, `imaps`, `pop3s` and `lmtp` are its ports outside."""

    def __init__(self, image, directory):
        self.image, self.directory = pathlib.Path(image), pathlib.Path(directory)
        self.name = machine_of(self.image).name
        self.kernel, self.initrd = self.directory / "vmlinux", self.directory / "initrd"
        self.process, self.said = None, b""
        self.load("a")

    def load(self, slot):
        """Starts with the kernel of this slot from now on."""
        take_out(self.image, slot, "boot/vmlinux", self.kernel)
        take_out(self.image, slot, "boot/initrd", self.initrd)

    def start(self, slot=""):
        self.ports = free_ports(len(FORWARDED))
        self.imap, self.imaps, self.pop3s, self.lmtp = self.ports
        words = command(self.image, self.kernel, self.initrd, slot, self.ports)
        self.said, self.started = b"", time.monotonic()
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        threading.Thread(target=self.listen, args=(self.process,), daemon=True).start()

    def listen(self, process):
        while data := os.read(process.stdout.fileno(), 4096):
            self.said += data

    def greeting(self, within=90):
        """Seconds from power-on to the greeting of IMAP, as a client outside sees it."""
        while time.monotonic() - self.started < within:
            if self.process.poll() is not None:
                raise SystemExit(f"the machine stopped: {self.text()}")
            try:
                with socket.create_connection(("127.0.0.1", self.imap), timeout=2) as connection:
                    if connection.recv(200).startswith(b"* OK"):
                        return time.monotonic() - self.started
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit(f"no greeting in {within} seconds: {self.text()}")

    def waited(self):
        """Seconds that the machine was ready to go on and other programs had the processors, up to now: of that thread of
        QEMU that waited longest. 0 where the kernel does not count it."""
        waits = [0]
        for path in pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat"):
            waits.append(int(path.read_text().split()[1]))
        return max(waits) / 1e9

    def text(self):
        return self.said.decode(errors="replace")

    def kill(self):
        """As a power cut: at once, whatever it does."""
        self.process.kill()
        self.process.wait()

    def shell(self, line, within=60):
        """What a command prints on the machine's console."""
        if b"activate this console" in self.said and not getattr(self, "awake", None) == self.process:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
            self.awake = self.process
            time.sleep(1)
        mark = f"{time.monotonic_ns():x}"
        # Typed in two parts, so that what the console repeats is no answer.
        self.process.stdin.write(f"echo BEGIN''{mark}; {line}; echo END''{mark}\n".encode())
        self.process.stdin.flush()
        until = time.monotonic() + within
        while time.monotonic() < until:
            found = re.search(rf"BEGIN{mark}\r?\n(.*)END{mark}".encode(), self.said, re.DOTALL)
            if found:
                return found[1].decode(errors="replace").replace("\r", "")
            time.sleep(0.05)
        raise SystemExit(f"the console does not answer {line!r}: {self.text()[-2000:]}")
