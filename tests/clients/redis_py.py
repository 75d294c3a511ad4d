"""redis-py: the one of Debian 12 (4.3, RESP2) and newer ones (RESP3)."""
import sys
import threading
import time

import redis

writer, reader = int(sys.argv[1]), int(sys.argv[2])
version = tuple(int(n) for n in redis.__version__.split(".")[:2])
options = {"protocol": 3} if version >= (5, 0) else {}


def ok(step):
    print("ok", step, flush=True)


def connect(port, **more):
    return redis.Redis(host="127.0.0.1", port=port, client_name="redis-py", **options, **more)


print("redis-py", redis.__version__, flush=True)
w, r = connect(writer), connect(reader)
assert w.ping() and r.ping() and w.client_getname() in (b"redis-py", "redis-py")
assert w.info("server")["redis_version"].startswith("7.4")
ok("connect")

assert w.set(b"bin\x00\xff", b"\r\n\x00") and r.get(b"bin\x00\xff") == b"\r\n\x00"
assert w.set("once", 1, nx=True) and w.set("once", 2, nx=True) is None
assert w.set("ttl", "v", ex=100) and 0 < r.ttl("ttl") <= 100
assert w.incrby("n", 5) == 5 and w.incrbyfloat("f", 1.5) == 1.5
assert w.mset({"a": 1, "b": 2}) and r.mget("a", "b", "none") == [b"1", b"2", None]
assert w.getex("a", px=5000) == b"1" and w.persist("a") and w.append("a", "x") == 2
try:
    w.incr("a")
    raise AssertionError("INCR of a string")
except redis.ResponseError as e:
    assert "not an integer" in str(e)
try:
    r.set("a", 1)
    raise AssertionError("a write on a reader")
except redis.exceptions.ReadOnlyError:
    pass
ok("strings")

p = w.pipeline(transaction=False)
for i in range(1000):
    p.set("key:%d" % i, i).get("key:%d" % i)
got = p.execute()
assert got[1::2] == [b"%d" % i for i in range(1000)]
ok("pipeline")


def add(times):
    c = connect(writer)
    for _ in range(times):
        c.transaction(lambda t: bump(t), "balance")


def bump(t):
    value = int(t.get("balance") or 0)
    t.multi()
    t.set("balance", value + 1)


threads = [threading.Thread(target=add, args=(25,)) for _ in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert w.get("balance") == b"100", w.get("balance")
ok("transaction")

for port in (writer, reader):
    s = connect(port).pubsub()
    s.subscribe("news")
    s.psubscribe("n?ws*")
    for _ in range(2):
        assert s.get_message(timeout=5)["type"].endswith("subscribe")
    w.publish("news", "hello")
    kinds = {s.get_message(timeout=5)["type"] for _ in range(2)}
    assert kinds == {"message", "pmessage"}, kinds
    s.close()
ok("pubsub")

assert {k for k in r.scan_iter("key:*", count=100)} == {b"key:%d" % i for i in range(1000)}
ok("scan")

try:
    from redis.cache import CacheConfig
    for port in (writer, reader):
        c = connect(port, cache_config=CacheConfig())
        w.set("cached", "old")
        assert c.get("cached") == b"old" and c.get("cached") == b"old"
        assert len(c.get_cache().get_collection() if hasattr(c.get_cache(), "get_collection") else [1]) > 0
        w.set("cached", "new")
        end = time.monotonic() + 5
        while c.get("cached") != b"new":
            assert time.monotonic() < end, "the cached value stays"
            time.sleep(0.01)
    ok("tracking")
except ImportError:
    print("skip tracking redis-py", redis.__version__, "has no client-side cache", flush=True)

w.set("before", "kill")
print("kill", flush=True)
sys.stdin.readline()
for attempt in range(50):
    try:
        assert w.get("before") == b"kill" and w.set("after", "kill")
        break
    except redis.ConnectionError:
        time.sleep(0.1)
assert r.get("after") == b"kill"
ok("reconnect")
