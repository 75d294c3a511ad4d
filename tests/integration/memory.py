"""Writer and reader with a small `memory` under several times as much load: pipelining writers, large values, clients
that do not read what they asked for, half-sent commands, scans. The parts never add up to more than `memory`, the
processes stay below it plus a fixed overhead, other clients are served all the time, and nothing is lost.

  memory.py BIN_DIR [MEGABYTES]"""
import hashlib
import os
import socket
import sys
import threading
import time

from harness import Resp, Work, wait_for

MEMORY_MB = 256
# Beside what the budget counts: code, libraries, stacks, what the allocator keeps between blocks.
OVERHEAD_MB = 96
WRITERS = 12
SLOW = 120
PARTS = ("cache", "pinned", "fetches", "memtables", "batches", "tables", "clients", "snapshots",
         "remembered")
CREATE = ("--unflushed-bytes-max", "32mb", "--batch-bytes-max", "4mb", "--value-max", "1mb", "--memtable-bytes", "16mb",
          "--wal-batch-bytes", "2mb", "--manifest-interval", "100ms", "--commit-timeout", "30s")
COMPACTOR_MB = 64
COMPACTOR = ("--memory", "%dmb" % COMPACTOR_MB, "--table-bytes", "8mb", "--compactor-poll-min", "100ms",
             "--compactor-poll-max", "200ms")
MEMORY = ("--memory", "%dmb" % MEMORY_MB, "--read-timeout", "30s")


def size_of(i):
    return 200 << 10 if i % 64 == 0 else 20 << 10 if i % 8 == 0 else 1 << 10


def value_of(key, i):
    """Not to be compressed, so that tables are as large as what was written."""
    return hashlib.shake_128(("%s:%d" % (key, i)).encode()).digest(size_of(i))


class Failing(threading.Thread):
    """A thread whose failure is the test's."""

    def __init__(self):
        super().__init__(daemon=True)
        self.wrong = None

    def run(self):
        try:
            self.work()
        except Exception as e:  # whatever it is, the main thread tells it
            self.wrong = e


class Writer(Failing):
    def __init__(self, port, n, total):
        super().__init__()
        self.conn, self.n, self.total, self.done = Resp(port), n, total, 0

    def key(self, i):
        return "w%d:%06d" % (self.n, i)

    def work(self):
        while self.done < self.total:
            batch = range(self.done, min(self.done + 32, self.total))
            self.conn.send(b"".join(Resp.encode("SET", self.key(i), value_of(self.key(i), i)) for i in batch))
            for i in batch:
                r = self.conn.reply()
                assert r == b"OK", "SET %s: %r" % (self.key(i), r)
            self.done = batch[-1] + 1


class Scanner(Failing):
    """Walks over all there is, again and again. Its replies are large: it may be closed, and then comes again."""

    def __init__(self, port, stop):
        super().__init__()
        self.port, self.stop, self.rows = port, stop, 0

    def work(self):
        while not self.stop.is_set():
            conn, start = Resp(self.port), b""
            try:
                while start is not None and not self.stop.is_set():
                    r = conn.do("KV.RANGE", start, "", "LIMIT", 200)
                    start, self.rows = r[0], self.rows + len(r[1]) // 2
            except ConnectionError:
                pass
            conn.close()


class Steady(Failing):
    """A client with modest wishes: it must never be refused or made to wait for long."""

    def __init__(self, port, stop):
        super().__init__()
        self.conn, self.stop, self.worst, self.asked = Resp(port), stop, 0.0, 0

    def work(self):
        while not self.stop.is_set():
            began = time.monotonic()
            assert self.conn.do("PING") == b"PONG"
            assert self.conn.do("GET", "small") == b"value"
            self.worst = max(self.worst, time.monotonic() - began)
            self.asked += 1
            time.sleep(0.02)


class Sampler(Failing):
    """Asks INFO all the time: the sum must hold at every sample."""

    def __init__(self, node, stop):
        super().__init__()
        self.node, self.stop, self.samples, self.rss = node, stop, 0, 0
        self.peak = dict.fromkeys(PARTS, 0)

    def work(self):
        conn = self.node.connect()
        while not self.stop.is_set():
            m = conn.info("memory")
            used = {p: int(m["firn_memory_" + p]) for p in PARTS}
            assert sum(used.values()) == int(m["used_memory"]), m
            assert int(m["used_memory_peak"]) <= int(m["maxmemory"]) == MEMORY_MB << 20, m
            self.peak = {p: max(self.peak[p], int(m["firn_memory_%s_peak" % p])) for p in PARTS}
            self.rss = max(self.rss, int(m["used_memory_rss"]))
            self.samples += 1
            time.sleep(0.03)


def slow_clients(port, keys):
    """They ask for large values and never read; some send the first half of a command and stop."""
    out = []
    for n in range(SLOW):
        s = socket.create_connection(("127.0.0.1", port), 10)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.setblocking(False)
        if n % 3 == 0:
            words = b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$1000000\r\n" + b"x" * 300000
        else:
            words = b"".join(Resp.encode("GET", keys[(n + i) % len(keys)]) for i in range(100))
        try:
            s.send(words)
        except (BlockingIOError, OSError):
            pass
        out.append(s)
    return out


def check(node, writers):
    conn = node.connect()
    conn.do("KV.FRESHNESS", 0)
    for w in writers:
        for at in range(0, w.total, 16):
            keys = [w.key(i) for i in range(at, min(at + 16, w.total))]
            for i, got in enumerate(conn.do("MGET", *keys)):
                assert got == value_of(keys[i], at + i), "%s is wrong or lost" % keys[i]


def refuses_too_little(work):
    node = work.node("reader", name="tiny", args=("--memory", "64mb"))
    node.start(ready=False)
    assert node.process.wait(20) != 0
    with open(node.log) as f:
        text = f.read()
    node.process = None
    assert "memory is 64mb, but this database demands at least" in text, text


def check_compactor(node, sanitized):
    """It merged what was written, much more than its memory, and stayed within that."""
    peak, limit, read, rss, jobs = (int(node.metric("firn_%s " % name)) for name in (
        "memory_sum_peak_bytes", "memory_limit_bytes", "compaction_read_bytes_total", "process_resident_memory_bytes",
        "compactions_total"))
    print("compactor: %d jobs, %d MiB read, peak %d MiB, rss %d MiB" % (jobs, read >> 20, peak >> 20, rss >> 20))
    assert limit == COMPACTOR_MB << 20 and 0 < peak <= limit, "%d of %d bytes" % (peak, limit)
    assert jobs > 0 and read > 0, "nothing was merged"
    assert sanitized or rss < (COMPACTOR_MB + OVERHEAD_MB) << 20, "the compactor is larger than memory allows"


def tiny_records(bin_dir):
    """Records of 8 + 8 bytes take six times their place in the log: the unflushed ones still take no more than twice
    unflushed-bytes-max of memtables, which is what every node has room for."""
    with Work(bin_dir) as work:
        writer = work.node("writer", args=("--unflushed-bytes-max", "1mb", "--memtable-bytes", "1mb", "--batch-bytes-max",
                                           "256kb", "--value-max", "64kb", "--wal-batch-bytes", "64kb", "--memory", "64mb",
                                           "--manifest-interval", "1s", "--commit-timeout", "30s")).start()
        conn, other, most, log = writer.connect(), writer.connect(), 0, 0
        for start in range(0, 60000, 2000):
            conn.send(b"".join(Resp.encode("SET", "%08d" % i, "%08d" % i) for i in range(start, start + 2000)))
            for i in range(2000):
                assert conn.reply() == b"OK"
                if i % 100 == 0:
                    info = other.info()
                    most = max(most, int(info["firn_memtable_bytes"]))
                    log = max(log, int(info["firn_unflushed_bytes"]))
        print("tiny records: at most %d KiB of log in %d KiB of memtables" % (log >> 10, most >> 10))
        assert 1 << 20 < most < (2 << 20) + (64 << 10), "%d bytes" % most


def main():
    megabytes = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    sanitized = "asan" in os.path.abspath(sys.argv[1]) or "tsan" in os.path.abspath(sys.argv[1])
    per_64 = sum(size_of(i) for i in range(64))
    total = (megabytes << 20) // WRITERS // per_64 * 64
    with Work(sys.argv[1]) as work:
        writer = work.node("writer", args=CREATE + MEMORY).start()
        reader = work.node("reader", args=MEMORY).start()
        compactor = work.node("compactor", args=COMPACTOR).start()
        refuses_too_little(work)
        writer.connect().do("SET", "small", "value")
        stop = threading.Event()
        writers = [Writer(writer.port, n, total) for n in range(WRITERS)]
        nodes = (writer, reader)
        samplers = [Sampler(n, stop) for n in nodes]
        steady = [Steady(n.port, stop) for n in nodes]
        scanners = [Scanner(n.port, stop) for n in nodes for _ in range(3)]
        wait_for("the first key on the reader", lambda: reader.connect().ask("GET", "small") == b"value")
        for t in writers + samplers + steady:
            t.start()
        wait_for("large values", lambda: all(w.done >= 64 or w.wrong for w in writers), 120)
        large = [w.key(0) for w in writers]
        slow = [s for n in nodes for s in slow_clients(n.port, large)]
        for t in scanners:
            t.start()
        for w in writers:
            w.join(240)
        time.sleep(1)
        stop.set()
        for t in samplers + steady + scanners:
            t.join(60)
        for t in writers + samplers + steady + scanners:
            assert not t.is_alive() and t.wrong is None, "%s: %r" % (type(t).__name__, t.wrong)
        closed = 0
        for n, s, st in zip(nodes, samplers, steady):
            evicted = int(n.connect().info("stats")["evicted_clients"])
            print("%s: %d samples, rss at most %d MiB, peaks MiB %s, %d clients closed; steady client: %d times, worst %.2f s"
                  % (n.name, s.samples, s.rss >> 20, {p: v >> 20 for p, v in s.peak.items()}, evicted, st.asked, st.worst))
            assert sanitized or s.rss < (MEMORY_MB + OVERHEAD_MB) << 20, "the process is larger than memory allows"
            closed += evicted
            assert st.asked > 20 and st.worst < 10, "the steady client was not served"
        assert closed > 0, "no client was closed"
        for s in slow:
            s.close()
        for n in nodes:
            check(n, writers)
        check_compactor(compactor, sanitized)
        print("%d MiB written, all there" % megabytes)


tiny_records(sys.argv[1])
main()
