"""Wrong clocks, under load: libfaketime gives each node a wall clock of its own, which jumps while the node runs; the store keeps
the right time. CLOCK_MONOTONIC and CLOCK_BOOTTIME stay true, as they do on a machine whose time of day is set.

A writer whose clock is further than clock-skew-max off the store's Date refuses to start and to take over, and says why. A jump
of an hour, forth or back, takes nothing from the log, no key with a time to live vanishes or comes back by it on any node, and
the store's complaints about the times of requests are met by its own Date. Clients write down what they see: it must be
linearizable.

  clocks.py BIN_DIR [file|s3]"""
import glob
import os
import re
import sys
import time

from harness import Error, Work, skip, wait_for
from recorder import Recorder

HOUR = 3600
SKEW = 6  # clock-skew-max and a second of Date, in seconds
WRITER = ("--wal-interval", "5ms", "--manifest-interval", "100ms", "--idle-flush", "300ms", "--heartbeat", "1s",
          "--wal-grace", "20s", "--memtable-bytes", "1mb", "--failover-after", "2s")
COMPACTOR = ("--table-grace", "5s", "--pin-ttl", "5s", "--compactor-poll-max", "1s", "--l0-compact-tables", "2")
TOO_FAR = "ms off the store's, more than clock-skew-max: set the clock"


def library():
    for pattern in ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1"):
        for path in glob.glob(pattern):
            return path
    skip("faketime is not installed")


class Clock:
    """The offset of one node's wall clock, in seconds, which can be set while it runs."""

    def __init__(self, work, node, offset=0):
        self.path = os.path.join(work.dir, node.name + ".time")
        self.set(offset)
        node.env.update(LD_PRELOAD=library(), FAKETIME_TIMESTAMP_FILE=self.path, FAKETIME_NO_CACHE="1",
                        FAKETIME_DONT_FAKE_MONOTONIC="1", DONT_FAKE_MONOTONIC="1")

    def set(self, offset):
        with open(self.path + ".new", "w") as f:
            f.write("%+d\n" % offset)
        os.rename(self.path + ".new", self.path)


def node(work, role, name, offset=0, args=()):
    n = work.node(role, name, args)
    n.clock = Clock(work, n, offset)
    return n


def refused(work, role, name, offset, args):
    n = node(work, role, name, offset, args)
    n.start(ready=False)
    wait_for(name + " to end", lambda: n.process.poll() is not None)
    assert n.process.returncode == 1, "%s: status %d\n%s" % (name, n.process.returncode, n.tail())
    last = n.tail(1)
    said = re.search(r"clock is (-?\d+) " + TOO_FAR, last)
    assert said, last
    assert abs(int(said.group(1)) / 1000.0 - offset) < 5, last


def wrong_from_the_start(work):
    """The store tells the right time: a writer an hour off it would expire what it should not."""
    refused(work, "writer", "ahead", HOUR, WRITER)
    refused(work, "writer", "behind", -HOUR, WRITER)
    assert not [n for n in work.store.list() if n.startswith(("wal/", "sst/"))]
    print("an hour off from the start: refused, with the reason", flush=True)


def ttl_of(c, key):
    return c.do("PTTL", key)


class Keys:
    """Keys with times to live, and what every node must say of them whatever its clock says."""

    def __init__(self, connection):
        self.long_until = time.monotonic() + 1800
        self.short_until = time.monotonic() + 25
        assert connection.do("SET", "long", "x", "EX", 1800) == b"OK"
        assert connection.do("SET", "short", "x", "EX", 25) == b"OK"
        assert connection.do("SET", "for-ever", "x") == b"OK"
        self.gone = set()

    def look(self, nodes):
        for n in nodes:
            c = n.connect()
            c.do("KV.FRESHNESS", "0")
            before = time.monotonic()
            got = c.ask("MGET", "long", "short", "for-ever")
            after = time.monotonic()
            c.close()
            if isinstance(got, Error):
                assert str(got).startswith(("KVSTALE", "KVBUSY", "LOADING")), got
                continue
            assert got[0] == b"x" and got[2] == b"x", "%s: %r" % (n.name, got)
            if after < self.short_until - SKEW:
                assert got[1] == b"x", "%s: short vanished %.1f s early" % (n.name, self.short_until - after)
            if before > self.short_until + SKEW or n in self.gone:
                assert got[1] is None, "%s: short is back, %.1f s late" % (n.name, before - self.short_until)
            if got[1] is None:
                self.gone.add(n)


def log_times(work):
    """The log_time of every batch in log order."""
    status, out, err = work.ctl("log", "ls", "-v")
    assert status == 0, err
    return re.findall(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", out)


def jumping(work):
    """Clocks that jump by an hour under load, one after the other and all at once."""
    writer = node(work, "writer", "w0", 0, ["--node-id", "w0", *WRITER]).start()
    standby = node(work, "writer", "w1", 0, ["--node-id", "w1", "--standby", *WRITER]).start(ready=False)
    readers = [node(work, "reader", "r0").start(), node(work, "reader", "r1").start()]
    compactor = node(work, "compactor", "c0", 0, COMPACTOR).start()
    everybody = [writer, standby, compactor, *readers]
    recorder = Recorder(work, [writer, standby, *readers]).start()
    c = writer.connect()
    keys = Keys(c)
    for name, nodes, offset in (("writer ahead", [writer], HOUR), ("writer back", [writer], -HOUR),
                                ("reader ahead", readers[:1], HOUR), ("reader back", readers[:1], -HOUR),
                                ("all ahead", everybody, HOUR), ("all back", everybody, -HOUR)):
        before = recorder.answered()
        for n in nodes:
            n.clock.set(offset)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            keys.look([writer, *readers])
            time.sleep(0.05)
        for n in nodes:
            n.clock.set(0)
        wait_for("clients to be served: " + name, lambda b=before: recorder.answered() > b + 100)
        for n in everybody:
            assert n.process.poll() is None, "%s ended: %s" % (n.name, n.tail())
        print("   %-14s %d operations answered" % (name, recorder.answered() - before), flush=True)
    ttl = c.do("PTTL", "long") / 1000.0
    assert abs(ttl - (keys.long_until - time.monotonic())) < SKEW, ttl
    times = log_times(work)
    assert len(times) > 3 and times == sorted(times), "log times go back"
    return writer, standby, readers, recorder, keys, everybody


def taking_over(work, writer, standby, readers, recorder, keys):
    """A standby whose clock is an hour ahead does not take over, and says why; set right, it does."""
    standby.clock.set(HOUR)
    time.sleep(1)
    writer.kill()
    wait_for("the standby to refuse", lambda: "cannot take over" in standby.tail() and TOO_FAR in standby.tail())
    standby.clock.set(0)
    wait_for("the standby to serve", standby.is_ready)
    while time.monotonic() < keys.short_until + SKEW + 1:
        keys.look([standby, *readers])
        time.sleep(0.2)
    keys.look([standby, *readers])
    assert {standby, *readers} <= keys.gone
    recorder.check([standby, *readers])


def main():
    kind = sys.argv[2] if len(sys.argv) > 2 else "s3"
    library()
    with Work(sys.argv[1], kind) as work:
        wrong_from_the_start(work)
        writer, standby, readers, recorder, keys, everybody = jumping(work)
        taking_over(work, writer, standby, readers, recorder, keys)
        print("a standby an hour ahead did not take over; the history is linearizable", flush=True)
        work.verified()
        for n in everybody[1:]:
            assert n.stop() == 0, n.tail()


if __name__ == "__main__":
    main()
