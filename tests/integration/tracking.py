"""CLIENT TRACKING: caches of clients on the writer (DURABLE and APPLIED) and on a reader never keep what has changed;
BCAST, OPTIN, OPTOUT, NOLOOP, REDIRECT, the bounded table, flushes and expiry.

    tracking.py BIN_DIR [ROUNDS [SEED]]"""
import random
import sys
import threading
import time

from harness import Error, Resp, Work, wait_for


class Resp3(Resp):
    """RESP3; pushes are kept apart, in order."""

    def __init__(self, port, **words):
        super().__init__(port, **words)
        self.pushes = []
        self.do("HELLO", 3)

    def reply(self):
        while True:
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                raise ConnectionError("connection closed")
            kind, rest = line[:1], line[1:-2]
            if kind != b">":
                return self.value(kind, rest)
            self.pushes.append([self.reply() for _ in range(int(rest))])

    def value(self, kind, rest):
        if kind == b"_":
            return None
        if kind == b"#":
            return rest == b"t"
        if kind == b"%":
            return {self.reply(): self.reply() for _ in range(int(rest))}
        if kind in (b"~", b"*"):
            return None if int(rest) < 0 else [self.reply() for _ in range(int(rest))]
        if kind in (b",", b"+"):
            return rest
        if kind in (b"$", b"="):
            return None if int(rest) < 0 else self.file.read(int(rest) + 2)[:-2]
        if kind == b":":
            return int(rest)
        if kind == b"-":
            return Error(rest.decode(errors="replace"))
        raise AssertionError("not RESP3: %r" % kind)

    def told(self):
        """What was told since the last call: keys, None for all."""
        assert self.do("PING") == b"PONG"
        out = []
        for p in self.pushes:
            assert p[0] == b"invalidate", p
            out += [None] if p[1] is None else p[1]
        self.pushes = []
        return out


class Cache:
    """A client with a cache that believes what it is told."""

    def __init__(self, node, ack=None):
        self.conn, self.held = Resp3(node.port), {}
        if ack:
            self.conn.do("KV.ACK", ack)
        assert self.conn.do("CLIENT", "TRACKING", "ON") == b"OK"

    def hear(self):
        for key in self.conn.told():
            if key is None:
                self.held.clear()
            else:
                self.held.pop(key, None)

    def get(self, key):
        if key not in self.held:
            value = self.conn.do("GET", key)
            # What came before the reply was told of an older state, what comes behind it is not.
            for p in self.conn.pushes:
                for k in [None] if p[1] is None else p[1]:
                    self.held.clear() if k is None else self.held.pop(k, None)
            self.conn.pushes = []
            self.held[key] = value
        return self.held[key]


def settle(writer, caches, reader):
    token = writer.do("KV.TOKEN")
    assert reader.do("KV.WAIT", token, 10000) == b"OK"
    for c in caches:
        c.hear()


def write(port, rng, rounds):
    conn = Resp(port)
    for _ in range(rounds):
        k = b"k%d" % rng.randrange(40)
        kind = rng.randrange(20)
        if kind < 12:
            conn.do("SET", k, rng.randrange(1 << 40))
        elif kind < 15:
            conn.do("MSET", *[w for i in range(4) for w in (b"k%d" % rng.randrange(40), rng.randrange(1 << 40))])
        elif kind < 18:
            conn.do("DEL", k)
        elif kind < 19:
            conn.do("KV.DELRANGE", b"k1", b"k2")
        elif rng.randrange(10) == 0:
            conn.do("FLUSHALL")
    conn.close()


def caches_hold_no_stale_values(writer_node, reader_node, rounds, rng):
    writer, reader = writer_node.connect(), reader_node.connect()
    caches = [Cache(writer_node), Cache(writer_node, "APPLIED"), Cache(reader_node), Cache(reader_node)]
    hits = 0
    for _ in range(rounds):
        threads = [threading.Thread(target=write, args=(writer_node.port, random.Random(rng.random()), 30))
                   for _ in range(2)]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            c = rng.choice(caches)
            c.get(b"k%d" % rng.randrange(40))
            if rng.randrange(3) == 0:
                c.hear()
        for t in threads:
            t.join()
        settle(writer, caches, reader)
        keys = [b"k%d" % i for i in range(40)]
        now = dict(zip(keys, writer.do("MGET", *keys)))
        for i, c in enumerate(caches):
            hits += len(c.held)
            wrong = [k for k in c.held if c.held[k] != now[k]]
            assert not wrong, "client %d holds %r, the database %r" % (i, c.held[wrong[0]], now[wrong[0]])
    print("caches: %d values held were right" % hits, flush=True)
    assert hits > rounds
    for c in caches:
        c.conn.close()


def modes(node, writer, wait):
    """What each mode tells. wait: until this node has the writes."""
    c = Resp3(node.port)
    writer.do("MSET", "a", 1, "b", 2, "user:1", 3, "user:2", 4)
    wait()
    assert c.do("CLIENT", "GETREDIR") == -1
    assert c.do("CLIENT", "TRACKINGINFO")[b"flags"] == [b"off"]
    assert isinstance(c.ask("CLIENT", "CACHING", "YES"), Error)

    assert c.do("CLIENT", "TRACKING", "ON") == b"OK"
    assert c.do("CLIENT", "TRACKINGINFO") == {b"flags": [b"on"], b"redirect": 0, b"prefixes": []}
    assert b" flags=t " in c.do("CLIENT", "INFO") and b" redir=0 " in c.do("CLIENT", "INFO")
    c.do("GET", "a"), c.do("MGET", "b", "none")
    writer.do("SET", "a", 5), writer.do("SET", "user:1", 1), writer.do("SET", "none", 1)
    wait()
    assert c.told() == [b"a", b"none"]
    writer.do("SET", "a", 6)  # told once, until it is read again
    wait()
    assert c.told() == []
    c.do("GET", "b")
    writer.do("FLUSHALL")
    wait()
    assert c.told() == [None]
    writer.do("SET", "b", 1)
    wait()
    assert c.told() == []
    for words in (["BCAST"], ["OPTIN", "OPTOUT"], ["PREFIX", "x"], ["REDIRECT", 12345678], ["NONSENSE"]):
        assert isinstance(c.ask("CLIENT", "TRACKING", "ON", *words), Error), words
    c.do("CLIENT", "TRACKING", "OFF")

    assert isinstance(c.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "u", "PREFIX", "user:"), Error)
    c.do("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "user:", "PREFIX", "b")
    assert sorted(c.do("CLIENT", "TRACKINGINFO")[b"prefixes"]) == [b"b", b"user:"]
    writer.do("MSET", "user:1", 1, "a", 2, "b", 3), writer.do("SET", "user:9", 1)
    wait()
    assert c.told() == [b"user:1", b"b", b"user:9"]
    c.do("CLIENT", "TRACKING", "OFF")

    c.do("CLIENT", "TRACKING", "ON", "OPTIN")
    c.do("GET", "a"), c.do("CLIENT", "CACHING", "YES"), c.do("GET", "b"), c.do("GET", "user:1")
    writer.do("MSET", "a", 1, "b", 1, "user:1", 1)
    wait()
    assert c.told() == [b"b"]
    c.do("CLIENT", "TRACKING", "OFF")
    c.do("CLIENT", "TRACKING", "ON", "OPTOUT")
    c.do("GET", "a"), c.do("CLIENT", "CACHING", "NO"), c.do("GET", "b"), c.do("GET", "user:1")
    writer.do("MSET", "a", 1, "b", 1, "user:1", 1)
    wait()
    assert c.told() == [b"a", b"user:1"]
    c.do("CLIENT", "TRACKING", "OFF")
    c.do("CLIENT", "TRACKING", "ON")
    c.do("MULTI"), c.do("GET", "a"), c.do("EXEC")
    writer.do("SET", "a", 7)
    wait()
    assert c.told() == [b"a"]
    writer.do("SET", "soon", 1, "PX", 300)
    wait()
    assert c.do("GET", "soon") == b"1"
    time.sleep(0.5)
    other = node.connect()
    assert other.do("GET", "soon") is None  # found expired
    assert c.told() == [b"soon"]
    c.do("RESET")
    assert c.do("CLIENT", "TRACKINGINFO") in ([b"flags", [b"off"], b"redirect", -1, b"prefixes", []],)
    c.close()


def redirect(node, writer, wait):
    """RESP2: another connection hears, as a subscriber."""
    data, ear = node.connect(), node.connect()
    ear_id = ear.do("CLIENT", "ID")
    assert ear.do("SUBSCRIBE", "__redis__:invalidate")[0] == b"subscribe"
    data.do("CLIENT", "TRACKING", "ON", "REDIRECT", ear_id)
    assert data.do("CLIENT", "GETREDIR") == ear_id
    writer.do("SET", "r", 1)
    wait()
    data.do("GET", "r")
    writer.do("SET", "r", 2), writer.do("FLUSHALL")
    assert ear.reply() == [b"message", b"__redis__:invalidate", [b"r"]]
    assert ear.reply() == [b"message", b"__redis__:invalidate", None]
    ear.close()
    data.close()


def noloop(node):
    for ack in ("DURABLE", "APPLIED"):
        for mode in ([], ["BCAST"]):
            c, other = Resp3(node.port), Resp3(node.port)
            c.do("KV.ACK", ack), other.do("KV.ACK", ack)
            c.do("CLIENT", "TRACKING", "ON", "NOLOOP", *mode), other.do("CLIENT", "TRACKING", "ON", *mode)
            c.do("SET", "n", 1)
            other.told(), c.told()
            c.do("GET", "n"), other.do("GET", "n")
            c.do("SET", "n", 2)
            node.connect().do("SET", "fence", 1)  # durable: all before it was told
            assert c.told() == ([b"fence"] if mode else []), (ack, mode)
            assert set(other.told()) >= {b"n"}, (ack, mode)
            c.do("GET", "n")
            node.connect().do("SET", "n", 3)
            assert c.told() == [b"n"], (ack, mode)
            c.close(), other.close()


def bounded(node, writer, wait):
    before = writer.do("CONFIG", "GET", "tracking-table-max-keys")[1]
    node.connect().do("CONFIG", "SET", "tracking-table-max-keys", 10)
    c = Resp3(node.port)
    c.do("CLIENT", "TRACKING", "ON")
    for i in range(15):
        c.do("GET", "t%d" % i)
    assert c.told() == [b"t%d" % i for i in range(5)]
    node.connect().do("CONFIG", "SET", "tracking-table-max-keys", before)
    c.close()


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print("seed %d" % seed)
    with Work(sys.argv[1]) as work:
        writer_node = work.node("writer", args=["--wal-interval", "2ms"]).start()
        reader_node = work.node("reader", args=["--tail-interval", "20ms"]).start()
        writer, reader = writer_node.connect(), reader_node.connect()

        def tailed():
            assert reader.do("KV.WAIT", writer.do("KV.TOKEN"), 10000) == b"OK"

        for node, wait in ((writer_node, lambda: None), (reader_node, tailed)):
            modes(node, writer, wait)
            redirect(node, writer, wait)
            bounded(node, writer, wait)
            print("modes on the %s" % node.name, flush=True)
        noloop(writer_node)
        print("noloop", flush=True)
        caches_hold_no_stale_values(writer_node, reader_node, rounds, random.Random(seed))
    print("ok")


if __name__ == "__main__":
    main()
