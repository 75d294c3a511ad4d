"""A whole cluster on one store: load, flush, merge, collect, and read back from a cold reader, key by key.

    cluster.py BIN_DIR file|s3 [KEYS]"""
import json
import random
import sys
import time

from harness import Error, Resp, Work, wait_for

SEAL_BYTES = 88
BATCH = 500


def key_of(i):
    return b"key:%012d" % i


def value_of(i):
    """100 bytes that tell what they belong to."""
    head = b"value-of-%012d-" % i
    return head + b"%078x" % (i * 0x9E3779B97F4A7C15 % (1 << 300))


def load(node, keys):
    """Write keys 0..keys-1 in random order, pipelined, every reply checked."""
    order = list(range(keys))
    random.Random(7).shuffle(order)
    c = node.connect()
    at = flying = 0
    while at < keys or flying:
        if at < keys and flying < 20 * BATCH:
            part = order[at:at + BATCH]
            c.send(b"".join(Resp.encode(b"SET", key_of(i), value_of(i)) for i in part))
            at += len(part)
            flying += len(part)
            continue
        for _ in range(min(BATCH, flying)):
            r = c.reply()
            assert r == b"OK", r
            flying -= 1
    c.close()


def compare(node, keys, deleted):
    """Every key, by MGET, against what was written."""
    c = node.connect()
    for at in range(0, keys, BATCH):
        ids = range(at, min(at + BATCH, keys))
        got = c.do(b"MGET", *[key_of(i) for i in ids])
        for i, v in zip(ids, got):
            want = None if i in deleted else value_of(i)
            assert v == want, "%r is %r" % (key_of(i), v)
    c.close()


def flushed(c):
    i = c.info()
    return int(i["firn_unflushed_slots"]) == 0 and int(i["firn_flushes"]) > 0


def check_objects(work):
    """Only what the manifest and its rules account for is left in the store."""
    status, out, err = work.ctl("manifest", "show", "--json")
    assert status == 0, err
    m = json.loads(out)
    kept = (m["kept"]["epoch"], m["kept"]["slot"])
    tables = {t["name"] for t in m["l0"]}
    for p in m["partitions"]:
        for run in p["runs"]:
            tables |= {t["name"] for t in run}
    odd, slots, seals, logs = [], 0, 0, 0
    for name, size in work.store.list().items():
        kind = name.split("/")[0]
        if name == "manifest":
            continue
        if kind == "manifest-log":
            logs += 1
        elif kind == "wal":
            _, _, epoch, slot = name.split("/")
            if size == SEAL_BYTES:
                seals += 1
            elif (int(epoch), int(slot)) >= kept:
                slots += 1
            else:
                odd.append(name)
        elif name not in tables:
            odd.append(name)
    assert not odd, "not accounted for: %s" % odd[:10]
    assert logs <= 3, "%d copies of the manifest, with no history to keep" % logs
    print("   objects: %d tables, %d slots, %d seals, %d manifest copies" % (len(tables), slots, seals, logs))


def main():
    bin_dir, kind = sys.argv[1:3]
    keys = int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000
    with Work(bin_dir, kind) as work:
        step = time.monotonic()

        def say(text):
            nonlocal step
            now = time.monotonic()
            print("%6.1f s  %s" % (now - step, text), flush=True)
            step = now

        graces = ["--table-grace", "5s", "--pin-ttl", "5s"]
        writer = work.node("writer", args=["--wal-grace", "20s", "--idle-flush", "1s", "--memtable-bytes", "32mb"]).start()
        warm = work.node("reader", "reader-1").start()
        compactor = work.node("compactor", args=graces).start()
        say("cluster on %s is up" % work.store.url)
        load(writer, keys)
        say("%d keys written, every reply checked" % keys)

        c = writer.connect()
        deleted = set(random.Random(8).sample(range(keys), 1000))
        assert c.do(b"DEL", *[key_of(i) for i in deleted]) == len(deleted)
        assert c.do("INCR", "counter") == 1
        token = c.do("KV.TOKEN")
        r = warm.connect()
        assert r.do("KV.GET", "counter", "ATLEAST", token) == b"1"
        refused = r.ask("SET", "a", "b")
        assert isinstance(refused, Error) and str(refused).startswith("READONLY"), refused
        r.close()
        say("deletions, a counter, read-your-writes on a replica")

        wait_for("everything flushed", lambda: flushed(c), 60)
        say("flushed")
        assert compactor.stop() == 0
        work.node("compactor", "compactor-once", args=graces + ["--once"]).start(ready=False)
        once = work.nodes[-1]
        wait_for("compactor --once to end", lambda: once.process.poll() is not None, 240)
        assert once.process.returncode == 0, once.tail()
        say("merged and collected")

        cold = work.node("reader", "reader-cold").start()
        compare(cold, keys, deleted)
        say("every key read back from a cold reader")
        assert cold.connect().do("GET", "counter") == b"1"
        print("   " + work.verified().strip().splitlines()[-1])
        say("verified")
        check_objects(work)
        c.close()
        for n in (writer, warm, cold):
            assert n.stop() == 0, n.tail()
        say("stopped")


if __name__ == "__main__":
    main()
