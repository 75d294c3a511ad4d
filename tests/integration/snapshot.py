"""Snapshots on a reader and on the writer while everything they show is overwritten, merged away and would be
collected: they read their old state exactly, and when they have ended nothing of it is left in the store.

    snapshot.py BIN_DIR [KEYS]"""
import json
import sys
import time

from harness import Error, Resp, Work, wait_for

GRACES = ["--table-grace", "5s", "--pin-ttl", "5s"]
MERGE = ["--l0-compact-tables", "2", "--slice-bytes-min", "1kb"]
BATCH = 500


def key_of(i):
    return b"key:%08d" % i


def write(conn, keys, value):
    for at in range(0, len(keys), BATCH):
        words = [w for k in keys[at:at + BATCH] for w in (k, value % k)]
        assert conn.do("MSET", *words) == b"OK"


def walk(conn, snapshot, *words):
    """All pairs at a snapshot, page by page."""
    rev = b"REV" in words
    found, start, end = [], b"", b""
    while True:
        tail, pairs = conn.do("KV.RANGE", start, end, "LIMIT", 700, "AT", snapshot, *words)
        found += [(pairs[i], pairs[i + 1]) for i in range(0, len(pairs), 2)]
        if tail is None:
            return found
        if rev:
            end = tail
        else:
            start = tail


def manifest(work):
    status, out, err = work.ctl("manifest", "show", "--json")
    assert status == 0, err
    return json.loads(out)


def live(work):
    m = manifest(work)
    names = {t["name"] for t in m["l0"]}
    for p in m["partitions"]:
        for run in p["runs"]:
            names |= {t["name"] for t in run}
    return names


def stored(work):
    return {n for n in work.store.list() if n.startswith("sst/")}


def check(conn, snapshot, want):
    """The state of a snapshot, read in every way there is."""
    assert walk(conn, snapshot) == want
    assert walk(conn, snapshot, b"REV") == want[::-1]
    assert conn.do("KV.COUNT", "", "", "AT", snapshot) == len(want)
    for k, v in want[:: max(1, len(want) // 50)]:
        assert conn.do("KV.GET", k, "AT", snapshot) == v
    assert conn.do("KV.GET", "only-later", "AT", snapshot) is None


def flushed(writer):
    i = writer.info()
    return int(i["firn_unflushed_slots"]) == 0 and int(i["firn_flushes"]) > 0


def overwrite_until_merged(work, writer, keys, old):
    """Write everything anew, again and again, until none of these tables is live any more."""
    n = 0
    while old & live(work):
        n += 1
        assert n < 60, "still live: %s" % (old & live(work))
        write(writer, keys, b"new %d " % n + b"%s")
        writer.do("DEL", *keys[:: 7])
        wait_for("a flush", lambda: flushed(writer))
    return n


def refused(conn, *words):
    r = conn.ask(*words)
    assert isinstance(r, Error), r
    return str(r)


def range_deletes(writer_node, reader_node):
    """Range tombstones that only a snapshot tells apart."""
    writer, reader = writer_node.connect(), reader_node.connect()
    writer.do("SET", "before", "x")
    writer.do("FLUSHDB")
    writer.do("SET", "between", "y")
    assert reader.do("KV.WAIT", writer.do("KV.TOKEN"), 5000) == b"OK"
    held = [(c, c.do("KV.SNAPSHOT", "OPEN")[0]) for c in (writer, reader)]
    for _ in range(3):
        writer.do("FLUSHDB")
        writer.do("SET", "after", "z")
    assert reader.do("KV.WAIT", writer.do("KV.TOKEN"), 5000) == b"OK"
    for conn, snapshot in held:
        assert walk(conn, snapshot) == [(b"between", b"y")]
        assert conn.do("KV.SNAPSHOT", "CLOSE", snapshot) == b"OK"
        assert conn.do("DBSIZE") == 1
        conn.close()


def flush_pipelines(writer_node, reader_node):
    """Many range deletes in a batch become one, except where a snapshot lies between them."""
    writer, reader = writer_node.connect(), reader_node.connect()
    held = []
    for state in range(4):
        writer.send(b"".join(Resp.encode("SET", "gone", i) + Resp.encode("FLUSHDB") for i in range(300)))
        assert all(writer.reply() == b"OK" for _ in range(600))
        writer.do("SET", "state", state)
        assert reader.do("KV.WAIT", writer.do("KV.TOKEN"), 5000) == b"OK"
        held += [(c, state, c.do("KV.SNAPSHOT", "OPEN")[0]) for c in (writer, reader)]
    assert int(writer.info()["firn_range_tombstones"]) < 50
    for conn, state, snapshot in held:
        assert walk(conn, snapshot) == [(b"state", b"%d" % state)], "state %d" % state
        assert conn.do("KV.SNAPSHOT", "CLOSE", snapshot) == b"OK"
    writer.close()
    reader.close()


def outlive(work, writer_node, reader_node, keys):
    writer, reader = writer_node.connect(), reader_node.connect()
    writer.do("FLUSHDB")
    write(writer, keys, b"old value of %s")
    wait_for("a flush", lambda: flushed(writer))
    old = live(work)
    late = [b"late:%d" % i for i in range(100)]  # of the log still
    write(writer, late, b"late %s")
    assert writer.do("SET", "going", "soon", "PX", 1500) == b"OK"
    token = writer.do("KV.TOKEN")
    assert reader.do("KV.WAIT", token, 5000) == b"OK"
    want = sorted([(k, b"old value of " + k) for k in keys] + [(k, b"late " + k) for k in late] + [(b"going", b"soon")])
    held = []
    for conn in (reader, writer):
        snapshot, at = conn.do("KV.SNAPSHOT", "OPEN", 600000)
        assert conn.do("KV.GET", "going", "AT", snapshot, "ATLEAST", at) == b"soon"
        held.append((conn, snapshot))
    more = [reader.do("KV.SNAPSHOT", "OPEN", 1000)[0] for _ in range(20)]
    pins = [n for n in work.store.list() if n.startswith("pins/")]
    assert len(pins) == 2, "one pin for each node: %s" % pins
    writer.do("SET", "only-later", "x")
    token = writer.do("KV.TOKEN")
    assert refused(reader, "KV.GET", "a", "AT", held[0][1], "ATLEAST", token).startswith("KVSTALE")
    n = overwrite_until_merged(work, writer, keys + late, old)
    print("merged away after %d rounds" % n, flush=True)
    time.sleep(13)  # twice the graces and more
    assert old <= stored(work), "tables of a snapshot are gone: %s" % (old - stored(work))
    for conn, snapshot in held:
        check(conn, snapshot, want)
    print("%d keys read as they were, twice" % len(want), flush=True)
    assert "time to live" in refused(reader, "KV.GET", "a", "AT", more[0])
    assert "did not open" in refused(writer, "KV.GET", "a", "AT", held[0][1]), "an id is of one node"
    for conn, snapshot in held:
        assert conn.do("KV.SNAPSHOT", "CLOSE", snapshot) == b"OK"
        assert "closed" in refused(conn, "KV.RANGE", "", "", "AT", snapshot)
    wait_for("the garbage to go", lambda: not old & stored(work), 60)
    print("closed, and collected", flush=True)
    for conn in (writer, reader):
        conn.close()


def die(work, writer_node, keys):
    """A reader that is killed keeps what its snapshot needs for pin-ttl, and no longer."""
    writer = writer_node.connect()
    reader_node = work.node("reader", "doomed", args=["--pin-ttl", "5s"]).start()
    reader = reader_node.connect()
    old = live(work)
    snapshot, _ = reader.do("KV.SNAPSHOT", "OPEN", 600000)
    overwrite_until_merged(work, writer, keys, old)
    reader_node.kill()
    reader.close()
    assert old <= stored(work)
    wait_for("what a dead reader had pinned to go", lambda: not old & stored(work), 60)
    wait_for("its pin to go", lambda: not [n for n in work.store.list() if n.startswith("pins/")], 60)
    writer.close()
    print("killed, and collected", flush=True)


def no_pins(bin_dir):
    """A reader whose pins are refused, here by an object where their folder would be, serves on and says so."""
    with Work(bin_dir) as work:
        work.node("writer").start()
        work.store.put("pins", b"")
        node = work.node("reader", args=["--freshness", "0", "--read-timeout", "1s"]).start()
        conn = node.connect()
        for _ in range(30):
            assert "the pin could not be had" in refused(conn, "KV.SNAPSHOT", "OPEN")
            time.sleep(0.1)
        assert "store: PUT has failed" in node.checks(), node.checks()
        assert node.is_ready() and conn.do("GET", "k") is None
        conn.close()


def main():
    keys = [key_of(i) for i in range(int(sys.argv[2]) if len(sys.argv) > 2 else 20000)]
    no_pins(sys.argv[1])
    with Work(sys.argv[1]) as work:
        writer = work.node("writer", args=["--wal-grace", "20s", "--idle-flush", "300ms", "--memtable-bytes", "2mb",
                                           "--manifest-interval", "100ms", "--pin-ttl", "5s"]).start()
        reader = work.node("reader", args=["--pin-ttl", "5s"]).start()
        work.node("compactor", args=GRACES + MERGE).start()
        range_deletes(writer, reader)
        flush_pipelines(writer, reader)
        outlive(work, writer, reader, keys)
        die(work, writer, keys)
        work.verified()
        status, out, err = work.ctl("gc", "--dry-run")
        assert status == 0 and "pins/" not in out, out + err
        for n in (reader, writer):
            assert n.stop() == 0, n.tail()
    print("ok")


if __name__ == "__main__":
    main()
