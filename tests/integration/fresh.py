"""Reads at the default freshness while a writer flushes every few seconds: what a flush moves into tables is in the
reader's memory until its tables are in the cache, so that hardly a read waits for the store (without that, three per
flush of this load).

  fresh.py BIN_DIR [SECONDS]"""
import random
import sys
import threading
import time

from harness import Resp, Work

KEYS = 2000
ATTEMPTS = 3  # the machine may be busy with other things; without what is tested none succeeds


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    with Work(sys.argv[1]) as work:
        writer = work.node("writer", args=("--wal-slots-max", "128", "--manifest-interval", "100ms")).start()
        reader = work.node("reader").start()
        w, r = writer.connect(), reader.connect()
        keys = ["key:%05d" % i for i in range(KEYS)]
        w.send(b"".join(Resp.encode("SET", k, "x" * 100) for k in keys))
        assert all(w.reply() == b"OK" for _ in keys)
        stop, rng = threading.Event(), random.Random(7)

        def write():
            n = 0
            while not stop.is_set():
                assert w.do("SET", rng.choice(keys), "%0100d" % n) == b"OK"  # each a slot of its own
                n += 1
                time.sleep(0.004)

        r.do("KV.FRESHNESS", 0)
        for k in keys:
            assert r.do("GET", k) is not None
        r.do("KV.FRESHNESS", "DEFAULT")
        writing = threading.Thread(target=write, daemon=True)
        writing.start()
        time.sleep(2)
        for _ in range(ATTEMPTS):
            if measure(writer, reader, r, keys, seconds):
                break
        else:
            raise AssertionError("reads waited for the store")
        stop.set()
        writing.join(10)


def measure(writer, reader, conn, keys, seconds):
    """Whether hardly a read of so many seconds waits for the store."""
    rng = random.Random(11)
    cold, flushes = reader.metric("firn_cold_reads_total"), int(w_info(writer)["firn_flushes"])
    end, reads = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        assert conn.do("GET", rng.choice(keys)) is not None
        reads += 1
        time.sleep(0.001)
    cold = reader.metric("firn_cold_reads_total") - cold
    flushes = int(w_info(writer)["firn_flushes"]) - flushes
    print("%d reads over %d flushes, %d waited for the store: %.2f %%" % (reads, flushes, cold, 100.0 * cold / reads))
    assert flushes >= 3 and reads > 200
    return cold <= 2 * flushes


def w_info(writer):
    return writer.connect().info()


main()
