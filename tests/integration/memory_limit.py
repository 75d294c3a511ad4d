"""Less memory than a role wants, by ulimit -v: too little to start with ends in one clear line; enough to start but not
for what it is then asked to hold makes allocations fail under load: replies are clear, no node crashes or answers
wrongly, and whoever ended is started again and has everything that was acknowledged. Then the kernel's way: the writer is
killed for its memory, as it stands, and comes back whole.

  memory_limit.py BIN_DIR"""
import os
import re
import signal
import sys
import threading
import time

from harness import Error, Resp, SKIPPED, Work, wait_for
from load import PATIENCE, Load

ARGS = ("--wal-interval", "5ms", "--manifest-interval", "100ms", "--unflushed-bytes-max", "64mb", "--batch-bytes-max", "4mb",
        "--value-max", "1mb", "--memory", "1gb", "--memtable-bytes", "32mb", "--idle-flush", "1s")
VALUE = 100 << 10
ROOM_MB = (24, 48, 96)  # of address space beyond what the node has when it serves
MESSAGE = re.compile(r"^firn-\w+: .{10,}", re.M)


def say(text):
    print("-- " + text, flush=True)


def limited(node, megabytes):
    """The node's command, with so much address space."""
    node.words = ["prlimit", "--as=%d" % (megabytes << 20)] + node.words
    return node


def limit_now(node, room_mb):
    """Let the running node have so much more than it has now."""
    with open("/proc/%d/status" % node.process.pid) as f:
        kib = int(re.search(r"VmSize:\s+(\d+) kB", f.read()).group(1))
    limit = (kib << 10) + (room_mb << 20)
    try:
        import resource
        resource.prlimit(node.process.pid, resource.RLIMIT_AS, (limit, limit))
    except (PermissionError, AttributeError):
        print("skipped: no right to limit another process")
        sys.exit(SKIPPED)


def ended_clearly(node):
    """It ended by itself, not by a signal, with a line that says why."""
    status = node.process.returncode
    with open(node.log, errors="replace") as f:
        text = f.read()
    assert status in (1, 2), "%s ended with %d\n%s" % (node.name, status, node.tail())
    assert MESSAGE.search(text), "%s did not say why\n%s" % (node.name, node.tail())
    return text.strip().splitlines()[-1]


def too_little_to_start(work):
    """Whatever the limit: the node serves, or says in one line why it does not."""
    say("too little to start with")
    for role in ("writer", "reader", "compactor"):
        served = 0
        for megabytes in (16, 32, 64, 128, 256, 512):
            n = limited(work.node(role, "%s-%d" % (role, megabytes), ARGS if role == "writer" else ()), megabytes)
            n.start(ready=False)
            wait_for("%s serves or ends" % n.name, lambda n=n: n.process.poll() is not None or n.is_ready(), PATIENCE)
            if n.process.poll() is None:
                served += 1
                n.kill()
            elif not lacks_loader(n):
                print("   %-14s %s" % (n.name, ended_clearly(n)), flush=True)
            n.process = None
        print("   %s: served with %d of the limits" % (role, served), flush=True)


def lacks_loader(node):
    """With so little not even the program's libraries could be loaded: it has not begun."""
    return node.said("error while loading shared libraries")


class Pusher(threading.Thread):
    """Makes the node hold much: large values, large replies that are not read, scans."""

    def __init__(self, port, number, writes, stop):
        super().__init__(daemon=True)
        self.port, self.number, self.writes, self.stop = port, number, writes, stop
        self.errors = set()

    def run(self):
        i = 0
        while not self.stop.is_set():
            try:
                c = Resp(self.port, timeout=5.0)
                while not self.stop.is_set():
                    i += 1
                    self.push(c, i)
            except (OSError, ConnectionError, AssertionError):
                time.sleep(0.05)

    def push(self, c, i):
        if self.writes:
            value = os.urandom(VALUE)
            words = [("SET", "big:%d:%d" % (self.number, (i + n) % 400), value) for n in range(8)]
        else:
            words = [("KV.RANGE", "big", "", "LIMIT", "100", "BYTES", str(8 << 20))] * 4
        c.send(b"".join(Resp.encode(*w) for w in words))
        for _ in words:
            r = c.reply()
            if isinstance(r, Error):
                self.errors.add(str(r).split(" ")[0])


def under_load(work, room_mb):
    say("%d MiB more than at rest, under load" % room_mb)
    writer = work.node("writer", "writer-load-%d" % room_mb, ARGS).start()
    reader = work.node("reader", "reader-load-%d" % room_mb, ("--memory", "1gb")).start()
    load = Load([writer], [reader], prefix="load-%d" % room_mb)
    load.progress()
    for n in (writer, reader):
        limit_now(n, room_mb)
    stop = threading.Event()
    pushers = [Pusher(n.port, i, n is writer, stop) for n in (writer, reader) for i in range(4)]
    for p in pushers:
        p.start()
    time.sleep(6)
    stop.set()
    for p in pushers:
        p.join(PATIENCE)
    for n in (writer, reader):
        if n.process.poll() is not None:
            print("   %s: %s" % (n.name, ended_clearly(n)), flush=True)
        else:
            n.kill()  # its limit stays
        n.start()
    load.progress()
    load.stop()
    load.tell()
    print("   those who push hear %s" % sorted(set().union(*(p.errors for p in pushers))))
    for n in (writer, reader):
        load.all_there(n)
    assert writer.stop() == 0 and reader.stop() == 0


def killed(work):
    """As the kernel does when memory is short: in the midst of everything, with no word."""
    say("killed for its memory")
    writer = work.node("writer", "writer-killed", ARGS).start()
    load = Load([writer], [], prefix="killed")
    stop = threading.Event()
    pushers = [Pusher(writer.port, i, True, stop) for i in range(4)]
    for p in pushers:
        p.start()
    for _ in range(2):
        load.progress()
        writer.process.send_signal(signal.SIGKILL)
        writer.process.wait()
        writer.start()
    stop.set()
    for p in pushers:
        p.join(PATIENCE)
    load.progress()
    load.stop()
    load.all_there(writer)
    assert writer.stop() == 0


def main():
    if "asan" in os.path.abspath(sys.argv[1]) or "tsan" in os.path.abspath(sys.argv[1]):
        print("skipped: a sanitizer's shadow takes more address space than any limit")
        sys.exit(SKIPPED)
    with Work(sys.argv[1]) as work:
        work.node("writer", "first", ARGS).start().stop()
        too_little_to_start(work)
        for room_mb in ROOM_MB:
            under_load(work, room_mb)
        killed(work)
        work.verified()
    print("ok")


if __name__ == "__main__":
    main()
