"""Somebody puts an older copy of the manifest back while all nodes run: each stops as soon as it meets it, saying so,
with the exit status that keeps the service manager from starting it over the older state. Putting the right one back
brings everything acknowledged back.

  older_manifest.py BIN_DIR [file|s3]"""
import sys
import threading

from harness import Error, Resp, Work, wait_for

WENT_BACK = 65  # the exit status
ROUNDS = 6
ARGS = ("--wal-interval", "2ms", "--manifest-interval", "100ms", "--idle-flush", "100ms", "--heartbeat", "1s",
        "--memtable-bytes", "1mb", "--wal-grace", "20s")  # a reader believes in a manifest for a quarter of that


def flushed(c):
    i = c.info()
    return int(i["firn_unflushed_slots"]) == 0


def write_rounds(node):
    """Several flushes, so that there are several versions."""
    c = node.connect()
    for n in range(ROUNDS):
        assert c.do("MSET", *[w for i in range(20) for w in ("key:%d:%d" % (n, i), "%d" % i)]) == b"OK"
        wait_for("a flush", lambda: flushed(c))
    c.close()


class Client(threading.Thread):
    """Writes, or reads with freshness 0, until the node is gone; what was acknowledged is remembered."""

    def __init__(self, node, writes):
        super().__init__(daemon=True)
        self.conn, self.writes = node.connect(), writes
        self.acked = 0
        self.wrong = []

    def run(self):
        try:
            if not self.writes:
                self.conn.do("KV.FRESHNESS", "0")
            while True:
                n = self.acked
                r = self.conn.ask("SET", "late:%d" % n, n) if self.writes else self.conn.ask("GET", "key:0:7")
                if isinstance(r, Error):
                    if not str(r).startswith(("KVUNKNOWN", "KVBUSY", "KVSTALE", "READONLY", "KVCORRUPT")):
                        self.wrong.append(str(r))
                    continue
                if not self.writes and r != b"7":
                    self.wrong.append("key:0:7 is %r" % r)
                self.acked += 1
        except (OSError, ConnectionError):
            pass  # it has stopped


def start_all(work):
    writer = work.node("writer", "w0", ["--node-id", "w0", *ARGS]).start()
    standby = work.node("writer", "w1", ["--node-id", "w1", "--standby", *ARGS]).start(ready=False)
    reader = work.node("reader", "r0").start()
    compactor = work.node("compactor", "c0", ["--compactor-poll-min", "100ms", "--compactor-poll-max", "1s"]).start()
    wait_for("a standby", lambda: standby.said("standing by"))
    return [writer, standby, reader, compactor]


def copies(work):
    """Names of all copies under manifest-log/, oldest version first."""
    return sorted(name for name in work.store.list() if name.startswith("manifest-log/"))


def check_stopped(node):
    wait_for("%s stops" % node.name, lambda: node.process.poll() is not None, 60)
    print("   %s: exit status %d: %s" % (node.name, node.process.returncode, node.tail(1).strip()), flush=True)
    assert node.said(node.program.rsplit("/")[-1] + ": ", "somebody restored an old one"), node.tail()
    assert node.process.returncode == WENT_BACK, "exit status %d\n%s" % (node.process.returncode, node.tail())


def recover(work):
    """As docs/OPERATIONS.md has it: the copy of the highest version, if verify finds nothing wrong with it. There may be
    several, proposed after the older one was put back: all of them were refused, and any will do."""
    names = copies(work)
    top = [n for n in names if n.split("/")[1].split("-")[0] == names[-1].split("/")[1].split("-")[0]]
    said = ""
    for name in top:
        work.store.put("manifest", work.store.get(name))
        rc, out, err = work.ctl("verify")
        said += name + ":\n" + out + err
        if rc == 0:
            print("   put back: " + name, flush=True)
            return
    raise AssertionError("no copy of the manifest will do\n" + said)


def check_all_there(work, acked):
    node = work.node("writer", "again", ARGS).start()
    c = node.connect()
    for n in range(ROUNDS):
        for i in range(20):
            assert c.do("GET", "key:%d:%d" % (n, i)) == b"%d" % i
    for i in range(acked):
        assert c.do("GET", "late:%d" % i) == b"%d" % i, "late:%d is lost" % i
    c.close()
    assert node.stop() == 0
    work.verified()


def main():
    with Work(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "file") as work:
        nodes = start_all(work)
        write_rounds(nodes[0])
        names = copies(work)
        older = names[len(names) // 2]
        old, version = work.store.get(older), int(older.split("/")[1].split("-")[0])
        clients = [Client(nodes[0], True), Client(nodes[2], False)]
        for c in clients:
            c.start()
        wait_for("load", lambda: all(c.acked > 50 for c in clients))
        # The others look every second; a reader only when it needs to.
        wait_for("a newer one on the reader", lambda: nodes[2].metric("firn_manifest_version") > version)
        work.store.put("manifest", old)
        for n in nodes:
            check_stopped(n)
        for c in clients:
            c.join(30)
            assert not c.is_alive() and not c.wrong, c.wrong
        assert work.store.get("manifest") == old, "somebody built on the older manifest"
        recover(work)
        check_all_there(work, clients[0].acked)
        print("   %d writes acknowledged, all there" % clients[0].acked)
    print("ok")


if __name__ == "__main__":
    main()
