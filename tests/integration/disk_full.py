"""A database in a directory whose disk is full: filled by somebody else, and by its own writes. Writes are refused and
say so, reads go on, every node stays up and names the cause; when there is room again all go on by themselves, and
nothing acknowledged is lost. Then the disks of the nodes themselves: --dir and the log's.

Needs root and mount(8), for small file systems of its own.

  disk_full.py BIN_DIR"""
import os
import subprocess
import sys

from harness import Error, Work, skip, wait_for
from load import PATIENCE, Load

ARGS = ("--heartbeat", "1s", "--wal-interval", "5ms", "--manifest-interval", "100ms", "--memtable-bytes", "256kb",
        "--idle-flush", "1s", "--unflushed-bytes-max", "4mb", "--batch-bytes-max", "1mb", "--value-max", "256kb")
SMALL_MB, LARGE_MB = 96, 192
VALUE = 200 << 10
PACE = 0.02  # each slot takes a page of the disk
NO_SPACE = "No space left"


def say(text):
    print("-- " + text, flush=True)


class SmallDisk:
    """A file system of its own, of so many MiB, in a directory."""

    def __init__(self, path, megabytes):
        self.path = path
        os.makedirs(path, exist_ok=True)
        words = ["mount", "-t", "tmpfs", "-o", "size=%dm" % megabytes, "tmpfs", path]
        if os.geteuid() != 0 or subprocess.run(words, stderr=subprocess.DEVNULL).returncode != 0:
            skip("no right to mount a small file system")

    def resize(self, megabytes):
        subprocess.run(["mount", "-o", "remount,size=%dm" % megabytes, self.path], check=True)

    def fill(self):
        """Take what is free, but not what others free or take meanwhile."""
        with open(self.path + "/filler", "ab", buffering=0) as f:
            for size in (1 << 20, 4096):
                try:
                    while f.write(b"x" * size) == size:
                        pass
                except OSError:
                    pass

    def empty(self):
        os.unlink(self.path + "/filler")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)


def start_all(work):
    writer = work.node("writer", "w0", ["--node-id", "w0", *ARGS]).start()
    standby = work.node("writer", "w1", ["--node-id", "w1", "--standby", *ARGS]).start(ready=False)
    reader = work.node("reader", "r0").start()
    compactor = work.node("compactor", "c0", ["--compactor-poll-min", "100ms", "--compactor-poll-max", "1s", "--table-grace",
                                              "5s", "--pin-ttl", "5s", "--table-bytes", "1mb"]).start()
    wait_for("a standby", lambda: standby.said("standing by"), PATIENCE)
    return [writer, standby, reader, compactor]


def refused(load):
    return sum(load.heard(word, load.writers) for word in ("KVBUSY", "KVUNKNOWN"))


def full(nodes, load):
    """What is to be seen while there is no room."""
    before = refused(load)
    wait_for("refused writes", lambda: refused(load) > before + 20, PATIENCE)
    load.progress(load.fresh + load.lax, "reads")
    wait_for("somebody names the cause in the log", lambda: any(n.said("store failing", NO_SPACE) for n in nodes[:2]), PATIENCE)
    wait_for("and at /readyz", lambda: any(NO_SPACE in n.checks() for n in nodes[:2]), PATIENCE)


def all_up(nodes):
    for n in nodes:
        assert n.process.poll() is None, "%s ended\n%s" % (n.name, n.tail())


def fill_by_writes(nodes):
    """Large values that cannot be compressed, until they are refused: the number of those acknowledged."""
    writer = next(n for n in nodes[:2] if n.is_ready())
    c, acked = writer.connect(), 0
    while True:
        r = c.ask("SET", "large:%d" % acked, os.urandom(VALUE // 2).hex())
        if isinstance(r, Error):
            assert str(r).startswith(("KVBUSY", "KVUNKNOWN", "READONLY")), r
            c.close()
            return acked
        acked += 1
        assert acked * VALUE < 2 * LARGE_MB << 20, "the disk does not get full"


def store_full(work):
    with SmallDisk(work.store.root, SMALL_MB) as disk:
        nodes = start_all(work)
        load = Load(nodes[:2], [nodes[2]], pace=PACE)
        load.progress()
        for _ in range(2):
            say("somebody fills the store's disk")
            disk.fill()
            full(nodes, load)
            disk.empty()
            load.progress()
            all_up(nodes)
        say("the store's disk is full of our own")
        large = fill_by_writes(nodes)
        print("   after %d large values" % large)
        full(nodes, load)
        disk.resize(LARGE_MB)
        load.progress()
        all_up(nodes)
        load.stop()
        load.tell()
        left = [f for f in os.listdir(work.store.root + "/.firn-tmp") if not f.startswith("lock")]
        assert len(left) < 10, "left behind: %s" % left[:10]
        for n in nodes:
            n.kill()
        last = work.node("writer", "w2", ARGS).start()
        load.all_there(last)
        c = last.connect()
        assert all(c.do("STRLEN", "large:%d" % i) == VALUE // 2 * 2 for i in range(large)), "a large value is lost"
        c.close()
        assert last.stop() == 0
        work.verified()
        work.nodes.clear()


def own_disk_full(work):
    """--dir and the log lie on a full disk."""
    with SmallDisk(os.path.join(work.dir, "own"), 1) as disk:
        say("a node whose own disk is full")
        known = work.node("writer", "known", ARGS)
        known.words[known.words.index("--dir") + 1] = disk.path + "/known"
        known.log = disk.path + "/log"
        known.start()
        disk.fill()
        c = known.connect()
        for i in range(200):
            assert c.do("SET", "k%d" % i, i) == b"OK"
            c.do("CONFIG", "SET", "log-level", "debug" if i % 2 else "info")
        c.close()
        new = work.node("reader", "new")
        new.words[new.words.index("--dir") + 1] = disk.path + "/new"
        new.start(ready=False)
        assert new.process.wait(30) == 2, "exit status %d" % new.process.returncode
        assert new.said("firn-reader: ", disk.path, NO_SPACE), new.tail()
        known.kill()
        known.start()
        c = known.connect()
        assert c.do("GET", "k199") == b"199"
        disk.empty()
        assert new.start().stop() == 0
        assert known.stop() == 0
        assert known.said("serving"), "nothing is logged when there is room again\n" + known.tail()
        c.close()


def main():
    with Work(sys.argv[1]) as work:
        store_full(work)
    with Work(sys.argv[1]) as work:
        own_disk_full(work)
    print("ok")


if __name__ == "__main__":
    main()
