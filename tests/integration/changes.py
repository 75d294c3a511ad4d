"""KV.CHANGES on the writer and on a reader while the writer is killed and taken over from: the whole history, replayed
from pages of any size, equals the database; groups are never torn; a position that is not kept is an error.

    changes.py BIN_DIR [ROUNDS [SEED]]"""
import random
import sys
import threading
import time

from harness import Error, Resp, Work, wait_for

ARGS = ("--wal-interval", "2ms", "--memtable-bytes", "256kb", "--manifest-interval", "100ms", "--idle-flush", "400ms",
        "--wal-grace", "20s")
DBS = 3


class Load(threading.Thread):
    """Random writes over few keys until the connection breaks."""

    def __init__(self, port, seed):
        super().__init__()
        self.conn, self.rng, self.wrong = Resp(port), random.Random(seed), None

    def word(self):
        r = self.rng
        k = b"k%d" % r.randrange(60)
        v = b"v%d" % r.randrange(1 << 30) * r.randrange(1, 20)
        kind = r.randrange(100)
        if kind < 40:
            return ("SET", k, v)
        if kind < 55:
            return ("MSET", *[w for i in range(r.randrange(2, 9)) for w in (b"g%d" % i, v)])
        if kind < 65:
            return ("DEL", k, b"k%d" % r.randrange(60))
        if kind < 75:
            return ("INCR", b"n%d" % r.randrange(5))
        if kind < 80:
            return ("SET", k, v, "PX", 3600000)
        if kind < 85:
            return ("EXPIRE", k, 3600)
        if kind < 90:
            return ("SELECT", r.randrange(DBS))
        if kind < 94:
            return ("KV.DELRANGE", b"k%d" % r.randrange(60), b"k%d" % r.randrange(60))
        if kind < 97:
            return ("RENAME", k, b"k%d" % r.randrange(60))
        if kind < 98:
            return ("FLUSHDB",)
        if kind < 99:
            return ("FLUSHALL",) if r.randrange(4) == 0 else ("PING",)
        return ("PUBLISH", "channel", v)

    def run(self):
        try:
            while True:
                words = [self.word() for _ in range(self.rng.randrange(1, 30))]
                self.conn.send(b"".join(Resp.encode(*w) for w in words))
                for w in words:
                    r = self.conn.reply()
                    if isinstance(r, Error) and "no such key" not in str(r):
                        self.wrong = "%r: %s" % (w, r)
                        return
        except (OSError, ConnectionError):
            pass
        finally:
            self.conn.close()


def in_range(k, start, end):
    return k >= start and (end == b"" or k < end)


class Replay:
    """A database made of changes alone."""

    def __init__(self, token, rng, prefix=b""):
        self.token, self.rng, self.prefix = token, rng, prefix
        self.data = [{} for _ in range(16)]
        self.version, self.changes, self.pages = 0, 0, 0

    def apply(self, c):
        kind, db, key, value, expiry, version, event, _ = c
        data, version = self.data[db], int(version)
        assert version > self.version or (kind == b"delrange" and version == self.version), "out of order"
        self.version = version
        if kind == b"put":
            data[key] = (value, int(expiry) if expiry else None)
            assert event, c
        elif kind == b"delrange":
            for k in [k for k in data if in_range(k, key, value)]:
                del data[k]
        else:
            assert kind in (b"del", b"expired"), c
            data.pop(key, None)

    def page(self, conn):
        words = ["KV.CHANGES", "FROM", self.token]
        if self.rng.randrange(2):
            words += ["COUNT", self.rng.choice([1, 2, 7, 100, 5000])]
        if self.prefix:
            words += ["MATCH", self.prefix]
        self.token, page = conn.do(*words)
        groups = [c[7] for c in page]
        for c in page:
            self.apply(c)
        last = groups[-1] if groups else None
        assert last is None or self.whole(page, last), "a group is torn"
        self.changes += len(page)
        self.pages += 1
        return len(page)

    def whole(self, page, group):
        """MSET's groups have g0 .. gN: all of them come in one page."""
        keys = [c[2] for c in page if c[7] == group]
        return not keys[0].startswith(b"g") or keys == [b"g%d" % i for i in range(len(keys))]

    def catch_up(self, conn):
        while True:
            before = self.token
            if self.page(conn) == 0 and self.token == before:
                return


def dump(conn):
    out = []
    for db in range(16):
        conn.do("SELECT", db)
        _, pairs = conn.do("KV.RANGE", "", "", "LIMIT", 100000)
        out.append({pairs[i]: (pairs[i + 1], None) for i in range(0, len(pairs), 2)})
        for k in out[-1]:
            t = conn.do("PEXPIRETIME", k)
            out[-1][k] = (out[-1][k][0], t if t > 0 else None)
    conn.do("SELECT", 0)
    return out


def compare(replay, data):
    for db in range(16):
        want = {k: v for k, v in data[db].items() if k.startswith(replay.prefix)}
        assert replay.data[db] == want, "db %d differs in %s" % (
            db, [k for k in set(want) | set(replay.data[db]) if want.get(k) != replay.data[db].get(k)][:5])


def one_round(writer, reader, replays, rng):
    loads = [Load(writer.port, rng.random()) for _ in range(3)]
    for t in loads:
        t.start()
    end = time.monotonic() + rng.uniform(0.3, 1.2)
    conns = [writer.connect(), reader.connect()]
    while time.monotonic() < end:
        rng.choice(replays).page(rng.choice(conns))
    writer.kill()
    for t in loads:
        t.join(60)
        assert not t.wrong, t.wrong
    replays[0].catch_up(conns[1])  # a reader needs no writer
    writer.start()
    conns[0] = writer.connect()
    token = conns[0].do("KV.TOKEN")
    assert conns[1].do("KV.WAIT", token, 10000) == b"OK"
    data = dump(conns[0])
    for i, r in enumerate(replays):
        r.catch_up(conns[i % 2])
        compare(r, data)
    for c in conns:
        c.close()


def lost_position(work, writer, reader):
    """A token of a write that was applied and never durable lies behind the seal."""
    c = writer.connect()
    c.do("KV.ACK", "APPLIED")
    before = c.do("KV.TOKEN")
    c.do("SET", "applied", "x")
    token = c.do("KV.TOKEN")
    writer.kill()
    writer.start()
    c = writer.connect()
    r = c.ask("KV.CHANGES", "FROM", token)
    if c.do("EXISTS", "applied"):
        print("   (the batch of the lost write had landed)")
    else:
        assert isinstance(r, Error), r
    assert not isinstance(c.ask("KV.CHANGES", "FROM", before), Error)
    c.close()


def gone(work, writer, reader, token):
    """Collected: an error, on every node; who had read to the end goes on."""
    c = writer.connect()
    at_end = Replay(c.do("KV.TOKEN"), random.Random(1))
    at_end.catch_up(c)
    wait_for("a flush", lambda: int(c.info()["firn_unflushed_slots"]) == 0)
    work.node("compactor", args=["--table-grace", "5s", "--pin-ttl", "5s"]).start()
    batches = lambda: [n for n, size in work.store.list().items() if n.startswith("wal/") and size != 88]
    wait_for("the log to be collected", lambda: not batches(), 90)
    for node in (writer, reader):
        r = node.connect().ask("KV.CHANGES", "FROM", token)
        assert isinstance(r, Error) and str(r).startswith("KVGONE"), r
    c.do("SET", "news", "1")
    assert at_end.page(c) == 1
    fresh = work.node("reader", "reader-2").start().connect()
    _, page = fresh.do("KV.CHANGES", "FROM", at_end.token)
    assert page == []
    c.close()


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print("seed %d" % seed)
    rng = random.Random(seed)
    with Work(sys.argv[1]) as work:
        writer = work.node("writer", args=ARGS).start()
        reader = work.node("reader").start()
        conn = writer.connect()
        first = conn.do("KV.TOKEN")
        conn.close()
        replays = [Replay(first, rng), Replay(first, rng), Replay(first, rng, b"k1"), Replay(first, rng, b"g")]
        for i in range(rounds):
            one_round(writer, reader, replays, rng)
            print("round %d: %d changes in %d pages" % (i, replays[0].changes, replays[0].pages), flush=True)
        # From the beginning, on a node that has seen none of it.
        cold = work.node("reader", "cold").start().connect()
        again = Replay(first, rng)
        again.catch_up(cold)
        compare(again, dump(cold))
        lost_position(work, writer, reader)
        gone(work, writer, reader, first)
    print("ok")


if __name__ == "__main__":
    main()
