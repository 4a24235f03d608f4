"""The profile of a Raspberry Pi in 64 MB: cgroup.py BINARY. A server in a cgroup of that much memory, 1,000 sessions
over TLS that are logged in and idle, from as many users and addresses as the profile wants; none may be lost, and
nothing may be killed for want of memory. Needs root and a memory controller (cgroup v1 or v2)."""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from machine import free_ports
from mail import PASSWORD, context

LIMIT, SESSIONS, OF_EACH = 64 << 20, 1000, 100
V1, V2 = pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")


class Group:
    """A cgroup with a limit of memory, swap counted."""

    def __init__(self):
        self.old = V1.is_dir()
        self.path = (V1 if self.old else V2) / f"dovelet-test-{os.getpid()}"
        self.path.mkdir()
        (self.path / ("memory.limit_in_bytes" if self.old else "memory.max")).write_text(str(LIMIT))

    def enter(self):
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def figure(self, old, new):
        return int((self.path / (old if self.old else new)).read_text())

    def killed(self):
        text = (self.path / ("memory.oom_control" if self.old else "memory.events")).read_text()
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)

    def anonymous(self):
        """What cannot be had from a file again."""
        wanted = "rss" if self.old else "anon"
        rows = dict(line.split() for line in (self.path / "memory.stat").read_text().splitlines())
        return int(rows[wanted])


def answer(stream, tag):
    while not (line := stream.readline()).startswith(tag):
        if not line:
            raise SystemExit("cgroup: a session is lost")
    if b" OK" not in line:
        raise SystemExit(f"cgroup: {line!r}")


class Session:
    def __init__(self, port, number):
        user, address = f"user{number // OF_EACH}", f"127.0.1.{1 + number // OF_EACH}"
        plain = socket.create_connection(("127.0.0.1", port), timeout=120, source_address=(address, 0))
        self.socket = context().wrap_socket(plain)
        self.stream = self.socket.makefile("rb", buffering=512)
        self.stream.readline()
        self.ask(b"a", f'LOGIN {user} "{PASSWORD}"')
        self.ask(b"b", "SELECT INBOX")

    def ask(self, tag, text):
        self.socket.sendall(tag + b" " + text.encode() + b"\r\n")
        answer(self.stream, tag)


def settings(directory, port):
    users = "".join(f"user{number}:{{PLAIN}}{PASSWORD}\n" for number in range(SESSIONS // OF_EACH))
    (directory / "users").write_text(users)
    path = directory / "dovelet.toml"
    path.write_text(
        f'data_dir = "{directory}"\nboard = "raspberrypi"\n\n'
        f'[[listener]]\nprotocol = "imap"\naddress = "127.0.0.1:{port}"\ntls = "implicit"\n'
    )
    return path


def main(binary):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="dovelet-cgroup-", dir="/var/tmp"))
    directory.chmod(0o755)
    (port,) = free_ports(1)
    path, group = settings(directory, port), Group()
    log = open(directory / "log", "wb")
    server = subprocess.Popen([binary, "serve", "--config", path], preexec_fn=group.enter, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 60
        while b"IMAP on" not in (directory / "log").read_bytes():
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"cgroup: no server: {(directory / 'log').read_text()}")
            time.sleep(0.1)
        sessions = [Session(port, number) for number in range(SESSIONS)]
        time.sleep(5)
        used, held = group.figure("memory.usage_in_bytes", "memory.current"), group.anonymous()
        for session in sessions:
            session.ask(b"c", "NOOP")
        if group.killed() or server.poll() is not None or b" is gone" in (directory / "log").read_bytes():
            raise SystemExit(f"cgroup: something ended for want of memory: {(directory / 'log').read_text()[-2000:]}")
        print(
            f"cgroup: {SESSIONS} idle sessions over TLS in {LIMIT >> 20} MiB: {used >> 10} KiB used,"
            f" {held >> 10} of them no file's"
        )
    finally:
        server.terminate()
        server.wait(30)
        for _ in range(50):
            try:
                group.path.rmdir()
                break
            except OSError:
                time.sleep(0.2)
        shutil.rmtree(directory)


if __name__ == "__main__":
    if os.geteuid() != 0 or not (V1.is_dir() or (V2 / "cgroup.controllers").exists()):
        print("cgroup: skipped: needs root and a memory controller")
    else:
        main(sys.argv[1])
