"""Programs one format apart over one database. `new` ones (bin/next, tests/next) know one format number more and put a
field that `old` ones do not know into every message they write.

First every role and every commit changes hands between old and new, in both directions, while the database has the old
format: all goes on, nothing is lost, no field of the newer program is lost either. Then the database is upgraded below
running old programs: each stops and says why, and the new ones have everything that was acknowledged.

  versions.py BIN_DIR"""
import os
import subprocess
import sys
import threading
import time

from harness import Error, Resp, Work, wait_for

ARGS = ("--wal-interval", "2ms", "--manifest-interval", "50ms", "--idle-flush", "100ms", "--memtable-bytes", "1mb",
        "--failover-after", "1s")
FIRST = ("--wal-grace", "20s", "--heartbeat", "500ms", "--history", "1h")  # for who makes the database
COMPACTOR = ("--table-grace", "1s", "--pin-ttl", "2s", "--compactor-poll-max", "1s", "--l0-compact-tables", "2")
TOO_NEW = "has format 2, but this program knows formats up to 1: use a newer version of Firn"


class Versions:
    """The cluster under test: nodes of both versions, and what the database must hold."""

    def __init__(self, work):
        self.work = work
        self.bins = {"old": work.bin, "new": os.path.join(work.bin, "next")}
        self.want = {}
        self.round = 0

    def node(self, version, role, name, args=()):
        self.work.bin = self.bins[version]
        n = self.work.node(role, version + "-" + name, args)
        self.work.bin = self.bins["old"]
        return n

    def writer(self, version, name, *more):
        name_id = version + "-" + name
        return self.node(version, "writer", name, ["--node-id", name_id, *ARGS, *more])

    def ctl(self, version, *words):
        self.work.bin = self.bins[version]
        got = self.work.ctl(*words)
        self.work.bin = self.bins["old"]
        return got

    def marks(self, path):
        out = subprocess.run([os.path.join(self.bins["new"], "marks"), path], check=True, stdout=subprocess.PIPE)
        lines = out.stdout.decode().splitlines()
        return int(lines[0].split()[1]), {line[2:]: line[0] == "+" for line in lines[1:]}

    def write(self, writer):
        """A round of everything that can be written; `want` is what must be there then."""
        self.round += 1
        c = writer.connect()
        for i in range(200):
            key = "key:%d" % ((self.round * 37 + i) % 500)
            self.want[key] = "%d:%d" % (self.round, i)
            assert c.do("SET", key, self.want[key]) == b"OK"
        for i in range(self.round % 5, 500, 41):
            c.do("DEL", "key:%d" % i)
            self.want.pop("key:%d" % i, None)
        c.do("KV.DELRANGE", "gone:", "gone;")
        c.do("MSET", "gone:a", self.round, "gone:b", self.round)
        self.want["gone:a"] = self.want["gone:b"] = str(self.round)
        c.do("MULTI")
        c.do("INCR", "counter")
        c.do("SET", "short", self.round, "PX", 150)
        c.do("EXEC")
        self.want["counter"] = str(int(self.want.get("counter", 0)) + 1)
        c.do("KV.BATCH", "ID", "request-%d" % self.round, 1, 3, "SET", "by-id", self.round)
        self.want["by-id"] = str(self.round)
        c.do("PUBLISH", "news", self.round)
        c.close()

    def settle(self, writer):
        c = writer.connect()
        wait_for("everything flushed", lambda: int(c.info()["firn_unflushed_slots"]) == 0)
        c.close()

    def check(self, *nodes):
        """Every key on every node, with freshness 0."""
        for n in nodes:
            c = n.connect()
            c.do("KV.FRESHNESS", "0")
            names = sorted(set(self.want) | {"key:%d" % i for i in range(500)})
            got = dict(zip(names, c.do("MGET", *names)))
            for k in names:
                want = self.want.get(k)
                assert got[k] == (None if want is None else want.encode()), "%s: %s is %r, not %r" % (
                    n.name, k, got[k], want)
            c.close()

    def check_fields(self):
        """Along the chain of manifests no message that had the newer program's field has lost it."""
        folder = os.path.join(self.work.store.root, "manifest-log")
        before, versions, kept = {}, 0, 0
        for name in sorted(os.listdir(folder)):
            version, marks = self.marks(os.path.join(folder, name))
            lost = [k for k, had in before.items() if had and marks.get(k) is False]
            assert not lost, "version %d lost fields of %s" % (version, lost)
            kept += sum(1 for k, had in before.items() if had and k in marks)
            before, versions = marks, versions + 1
        assert versions > 20 and kept > 100, "%d versions, %d fields: too few to tell" % (versions, kept)
        return versions, kept

    def verify(self):
        for version in ("old", "new"):
            status, out, err = self.ctl(version, "verify")
            assert status == 0, out + err


def snapshot_outlives(v, reader, writer):
    """A snapshot of this reader holds its tables while they are merged and collected by the other version."""
    c = reader.connect()
    was = c.do("GET", "counter")
    snapshot = c.do("KV.SNAPSHOT", "OPEN", 60000)[0]
    for _ in range(3):
        v.write(writer)
        v.settle(writer)
    time.sleep(2)
    got = c.do("KV.GET", "counter", "AT", snapshot)
    assert got == was, "the snapshot shows %r, not %r" % (got, was)
    c.do("KV.SNAPSHOT", "CLOSE", snapshot)
    c.close()


def finds_out(writer):
    """An idle writer learns by its next write that another one was promoted; it goes on as a standby."""
    try:
        c = writer.connect()
        c.ask("SET", "nudge", 1)
        c.close()
    except OSError:
        pass
    wait_for("%s to stand by" % writer.name, lambda: not writer.is_ready())


def side_by_side(v):
    """The old format: everything works in every mixture."""
    writer = v.writer("old", "a", *FIRST).start()
    old_reader, new_reader = v.node("old", "reader", "r").start(), v.node("new", "reader", "r").start()
    compactor = v.node("new", "compactor", "c1", COMPACTOR).start()
    v.write(writer)
    v.settle(writer)
    v.check(writer, old_reader, new_reader)
    snapshot_outlives(v, old_reader, writer)
    v.check(old_reader, new_reader)
    print("old writer, new compactor, both readers", flush=True)

    standby = v.writer("new", "b", "--standby").start(ready=False)
    for version, name, value in (("old", "dedup-ttl", "2h"), ("new", "notify-keyspace-events", "KEA"),
                                 ("old", "heartbeat", "400ms")):
        status, out, err = v.ctl(version, "set", name, value)
        assert status == 0, out + err
    status, out, err = v.ctl("old", "promote", "new-b")
    assert status == 0, out + err
    wait_for("the new standby to serve", standby.is_ready)
    compactor.stop()
    compactor = v.node("old", "compactor", "c2", COMPACTOR).start()
    v.write(standby)
    v.settle(standby)
    v.check(standby, old_reader, new_reader)
    snapshot_outlives(v, new_reader, standby)
    v.check(standby, old_reader, new_reader)
    print("promoted to the new writer; old compactor", flush=True)

    finds_out(writer)
    standby.stop()  # releases: the old one, which went on as a standby, takes over
    wait_for("the old standby to serve", writer.is_ready)
    v.write(writer)
    v.check(writer, old_reader, new_reader)
    third = v.writer("new", "d", "--standby").start(ready=False)
    wait_for("the third one to stand by", lambda: "standing by" in third.tail(50))
    writer.kill()
    wait_for("the new standby to take over by time", third.is_ready)
    v.write(third)
    v.settle(third)
    v.check(third, old_reader, new_reader)
    print("released to the old writer, killed, taken over by a new one", flush=True)
    c = third.connect()
    assert c.do("FLUSHDB") == b"OK"
    v.want.clear()
    v.write(third)
    v.settle(third)
    c.close()
    v.check(third, old_reader, new_reader)
    print("   fields of the newer program: %d versions, %d times kept" % v.check_fields(), flush=True)
    v.verify()
    for n in (third, old_reader, new_reader, compactor):
        assert n.stop() == 0, n.tail()


class Load(threading.Thread):
    """Counts up on whichever node takes writes; what was acknowledged is remembered."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.stopping, self.acked = nodes, False, []

    def run(self):
        at = n = 0
        while not self.stopping:
            try:
                c = Resp(self.nodes[at % len(self.nodes)].port, timeout=3)
                while not self.stopping:
                    n += 1
                    if isinstance(c.ask("SET", "load:%d" % n, n), Error):
                        raise ConnectionError("not here")
                    self.acked.append(n)
            except OSError:
                at += 1
                time.sleep(0.02)


def ended_as_too_old(node):
    wait_for("%s to end" % node.name, lambda: node.process.poll() is not None)
    assert node.process.returncode == 1, "%s: status %d\n%s" % (node.name, node.process.returncode, node.tail())
    last = node.tail(1)
    assert TOO_NEW in last, "%s says: %s" % (node.name, last)


def upgraded(v):
    """The format is raised below running old programs."""
    writer = v.writer("old", "e").start()
    standby = v.writer("new", "f", "--standby").start(ready=False)
    behind = v.writer("old", "g", "--standby").start(ready=False)
    reader, compactor = v.node("old", "reader", "s").start(), v.node("old", "compactor", "c3", COMPACTOR).start()
    new_reader = v.node("new", "reader", "s").start()
    load = Load([writer, standby])
    load.start()
    wait_for("some load", lambda: len(load.acked) > 100)
    status, out, err = v.ctl("old", "upgrade")
    assert status == 0 and "format 1" in out, out + err  # the newest that it knows
    v.check(writer, reader, new_reader)
    status, out, err = v.ctl("new", "upgrade")
    assert status == 0 and "format 2" in out, out + err
    poller = reader.connect()
    try:
        while reader.process.poll() is None:
            poller.do("KV.FRESHNESS", "0")
            poller.ask("GET", "counter")
    except OSError:
        pass
    for n in (writer, behind, reader, compactor):
        ended_as_too_old(n)
    wait_for("the new standby to serve", standby.is_ready)
    before = len(load.acked)
    wait_for("load on the new writer", lambda: len(load.acked) > before + 100)
    load.stopping = True
    load.join()
    for n in load.acked:
        v.want["load:%d" % n] = str(n)
    v.check(standby, new_reader)
    print("upgraded: old programs stopped, %d acknowledged writes are there" % len(load.acked), flush=True)
    for role in ("writer", "reader", "compactor"):
        n = v.node("old", role, "late-" + role)
        n.start(ready=False)
        ended_as_too_old(n)
    status, out, err = v.ctl("old", "manifest", "show")
    assert status == 1 and TOO_NEW in err, out + err
    v.settle(standby)
    status, out, err = v.ctl("new", "verify")
    assert status == 0, out + err
    for n in (standby, new_reader):
        assert n.stop() == 0, n.tail()


def main():
    with Work(sys.argv[1]) as work:
        v = Versions(work)
        side_by_side(v)
        upgraded(v)


if __name__ == "__main__":
    main()
