"""Starts the disk of a machine in QEMU and uses it from outside: check.py virt|malta IMAGE [--kills N].

IMAGE was made by images/build_virt.py with `files` of this directory (see `prepare`). What a machine has to do:
be there in time, take mail by LMTP and give it by IMAPS, stay within its memory, lose nothing that it acknowledged when it
is stopped hard, start from its other slot, and go back to the first if the other one is no good, and be started anew by
its watchdog if its server answers nobody, but not if it is only full."""
import argparse
import pathlib
import random
import sys
import tempfile
import threading
import time

from machine import Machine
from mail import OTHER_USER, PASSWORD, USER, deliver, imaps, lmtp, subjects

from machines import partitions

MAX_SECONDS_TO_GREETING = 8
MAX_IMAGE_OCTETS = 48_000_000
# Of the profile openwrt-64, for all processes together.
MAX_IDLE_KIB, MAX_BUSY_KIB, CONNECTIONS, BY_TLS, LARGE = 4096, 8192, 50, 20, 10_000
# Of the profile openwrt-128: connections before login; and how long the machine's watchdog waits.
FULL, WATCHDOG_SECONDS = 40, 30
faults = []


def say(what):
    print(f"boot: {what}", flush=True)


def at_most(what, figure, limit):
    over = figure > limit
    say(f"{what}: {figure:.1f}, to be at most {limit}{', WHICH IT IS NOT' if over else ''}")
    if over:
        faults.append(what)


def wanted(condition, what):
    if not condition:
        raise SystemExit(f"boot: {what}")


def prepare(directory, large):
    """What the partition of data begins with: two users, and of the first a mailbox `large` with so many messages."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "users").write_text("".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in (USER, OTHER_USER)))
    (directory / "users").chmod(0o600)
    if not large:
        return
    maildir = directory / f"mail/{USER}/.large"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True, exist_ok=True)
    for number in range(1, large + 1):
        text = f"From: <a@example.org>\nSubject: number {number}\nDate: Mon, 2 Nov 2026 10:00:00 +0000\n\ntext\n"
        (maildir / f"cur/{1700000000 + number}.M1P1.boot:2,S").write_text(text)
    (directory / f"mail/{USER}/subscriptions").write_text("large\n")


def memory(machine):
    """KiB of all processes of the server: what they hold, what they share counted once; and the same counted for each."""
    own = "for p in /proc/[0-9]*; do [ $p/exe -ef /usr/bin/dovelet ] && cat $p/smaps_rollup; done"
    text = machine.shell(f"{own} | grep -E '^(Rss|Pss):'", 120)
    rows = [line.split() for line in text.splitlines() if line.startswith(("Rss:", "Pss:"))]
    wanted(rows, f"no figures of memory: {text}")
    return tuple(sum(int(row[1]) for row in rows if row[0] == kind) for kind in ("Pss:", "Rss:"))


def check_mail(machine):
    with lmtp(machine.lmtp) as session:
        for number in range(1, 6):
            deliver(session, number)
    session = imaps(machine.imaps)
    wanted(subjects(session) == [1, 2, 3, 4, 5], "what was delivered is not what is read")
    state, parts = session.fetch("3", "(BODY.PEEK[])")
    wanted(state == "OK" and b"Message-ID: <3@boot.example.org>" in parts[0][1], "a message is not whole")
    session.logout()
    say("mail by LMTP, read by IMAPS")


def check_memory(machine):
    machine.kill()
    machine.start()
    machine.greeting()
    time.sleep(5)
    # The console's shell and what it starts stay out of it: only the server counts.
    idle, counted = memory(machine)
    at_most(f"KiB resident when idle (each process for itself {counted})", idle, MAX_IDLE_KIB)
    held = [imaps(machine.imaps) for _ in range(BY_TLS)]
    hold_plain(machine, CONNECTIONS - BY_TLS)
    state, count = held[0].select("large")
    wanted(state == "OK" and int(count[0]) == LARGE, f"the large mailbox has {count}")
    state, rows = held[0].fetch("1:*", "(FLAGS)")
    wanted(state == "OK" and len(rows) == LARGE, "not all of the large mailbox")
    time.sleep(5)
    busy, counted = memory(machine)
    at_most(f"KiB with {CONNECTIONS} connections, {BY_TLS} of them TLS (each process for itself {counted})", busy, MAX_BUSY_KIB)
    wanted(all(session.noop()[0] == "OK" for session in held), "a connection with TLS is lost")
    wanted(count_plain(machine) == CONNECTIONS - BY_TLS, "a connection without TLS is lost")
    say(machine.shell("free"))


def hold_plain(machine, count):
    """Leaves so many sessions without TLS, each with its mailbox selected. They come from the machine itself, as a webmail's
    would (from elsewhere nobody logs in without TLS), one after another: few may be there before login."""
    told = f"echo 'a login {OTHER_USER} \"{PASSWORD}\"'; echo 'b select INBOX'; exec sleep 1000"
    one = f"({{ {told}; }} | busybox nc 127.0.0.1 143 >/tmp/plain.$i) &"
    selected = "until grep -q '^b OK' /tmp/plain.$i; do sleep 0.1; done"
    machine.shell(f"i=0; while [ $i -lt {count} ]; do {one} {selected}; i=$((i+1)); done", 300)


def count_plain(machine):
    return int(machine.shell("ps | grep -c '[n]c 127'", 120).split()[-1])


def check_kills(machine, kills):
    """Deliveries one after another on two connections, QEMU killed in the midst of them; each time all that was acknowledged is there."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    say(f"{kills} hard kills, seed {seed}")
    acknowledged, next_number, lock = set(subjects(imaps(machine.imaps))), [100], threading.Lock()

    def work():
        try:
            with lmtp(machine.lmtp, 20) as session:
                while True:
                    with lock:
                        next_number[0] += 1
                        number = next_number[0]
                    deliver(session, number)
                    with lock:
                        acknowledged.add(number)
        except OSError:
            pass

    for turn in range(kills):
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.3, 2.5))
        machine.kill()
        for thread in threads:
            thread.join()
        machine.start()
        seconds = machine.greeting()
        session = imaps(machine.imaps)
        there = subjects(session)
        lost = acknowledged - set(there)
        wanted(not lost, f"after kill {turn + 1} these are gone, which were acknowledged: {sorted(lost)}")
        wanted(len(there) == len(set(there)), f"after kill {turn + 1} some are there twice")
        say(f"kill {turn + 1}: {len(acknowledged)} acknowledged, all of {len(there)} read, {seconds:.1f} s to the greeting")
        # Room for more: the partition is small.
        if len(there) > 400:
            session.select("INBOX")
            session.store("1:*", "+FLAGS.SILENT", "\\Deleted")
            session.expunge()
            acknowledged.clear()
        session.logout()


def check_watchdog(machine):
    """A machine that is only full goes on; one whose server answers nobody is started anew."""
    machine.kill()
    machine.start()
    machine.greeting()
    # The watchdog waits for the first sign of health from when it is opened, 30 seconds as later.
    count, health = FULL + 5, "dovelet healthcheck --config /etc/dovelet/dovelet.toml"
    one = "(sleep 1000 | busybox nc 127.0.0.1 143 >/dev/null 2>&1) &"
    machine.shell(f"i=0; while [ $i -lt {count} ]; do {one} i=$((i+1)); done; sleep 1")
    begin = time.monotonic()
    while (passed := time.monotonic() - begin) < 1.5 * WATCHDOG_SECONDS:
        told = machine.shell(f"{health}; echo code $?")
        wanted(": full: " in told and "unhealthy" not in told and "code 0" in told, f"not full after {passed:.0f} s: {told}")
        time.sleep(5)
    wanted(machine.process.poll() is None, f"started anew, though it was only full: {machine.text()}")
    say(f"with no place left for {passed:.0f} s the machine goes on")
    machine.shell("killall -STOP dovelet")
    begin = time.monotonic()
    # A restart is an end here (-no-reboot).
    while machine.process.poll() is None and time.monotonic() - begin < 4 * WATCHDOG_SECONDS:
        time.sleep(0.5)
    wanted(machine.process.poll() is not None, "not started anew, though the server answers nobody")
    say(f"with a server that is stopped it is started anew, after {time.monotonic() - begin:.0f} s")


def check_slots(machine):
    """The other slot starts when it is named; one that was written is tried, kept if good, and left if not."""
    machine.kill()
    machine.load("b")
    machine.start(slot="b")
    machine.greeting()
    wanted("slot b" in machine.text(), f"not slot b: {machine.text()}")
    wanted(subjects(imaps(machine.imaps)) is not None, "no mail in slot b")
    say("slot b starts")
    machine.kill()
    machine.load("a")
    # What is no root is left for the one that was good.
    machine.start()
    machine.greeting()
    wanted("slot a" in machine.text(), "slot b was kept, though it was named for once")
    machine.shell("mkdir -p /data/.slots; echo b >/data/.slots/try; sync")
    machine.kill()
    start, _ = partitions(machine.image.read_bytes()[:512])[1]
    with open(machine.image, "r+b") as file:
        file.seek(start)
        intact = file.read(4096)
        file.seek(start)
        file.write(bytes(4096))
    machine.start()
    machine.greeting()
    wanted("slot b is no root" in machine.text() and "dovelet: slot a" in machine.text(), "a bad slot was not left")
    say("a slot that is no good is left for the other")
    machine.kill()
    with open(machine.image, "r+b") as file:
        file.seek(start)
        file.write(intact)


def main():
    words = argparse.ArgumentParser(usage=__doc__)
    words.add_argument("machine", choices=["virt", "malta"])
    words.add_argument("image", type=pathlib.Path)
    words.add_argument("--kills", type=int, default=20)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(given.image, directory)
        try:
            if given.machine == "virt":
                at_most("octets of the image", given.image.stat().st_size, MAX_IMAGE_OCTETS)
            machine.start()
            machine.greeting()
            # The first start makes a certificate and finds the mail.
            machine.shell("sync")
            machine.kill()
            machine.start()
            seconds = machine.greeting()
            waited = machine.waited()
            if given.machine == "virt":
                # What others took is no time of the machine's.
                what = f"seconds from power-on to the greeting ({seconds:.1f}, but for {waited:.1f} that others had the processors)"
                at_most(what, seconds - waited, MAX_SECONDS_TO_GREETING)
            else:
                say(f"seconds from power-on to the greeting: {seconds:.1f}")
            check_mail(machine)
            if given.machine == "malta":
                check_memory(machine)
                machine.kill()
            else:
                check_watchdog(machine)
                check_slots(machine)
            machine.start()
            machine.greeting()
            check_kills(machine, given.kills)
        finally:
            if machine.process and machine.process.poll() is None:
                machine.kill()
    if faults:
        sys.exit(f"boot: over the limit: {', '.join(faults)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        prepare(sys.argv[2], int(sys.argv[3]))
    else:
        main()
