"""Limits and outcomes from outside: each limit is a clear error, nothing of the command applied; a store that stalls is
answered in time, in order, and honestly.

usage: limits.py BIN"""
import socket
import sys
import time

from harness import Error, Resp, Work, wait_for

MIB = 1 << 20
VALUE_MAX = 8 * MIB
KEY_MAX = 65535
CLIENTS = 20


def is_error(reply, start):
    assert isinstance(reply, Error) and str(reply).startswith(start), "%.200r is not %r" % (reply, start)


def keys_and_values(c, reader):
    key, value = b"k" * KEY_MAX, bytes(range(256)) * (VALUE_MAX // 256)
    assert c.do("SET", key, value) == b"OK"
    assert c.do("GET", key) == value
    assert reader.do("GET", key) == value
    assert reader.do("GETRANGE", key, -1, -1) == value[-1:]
    assert c.do("MSET", "small", "1", "other", "2") == b"OK"
    size = c.do("DBSIZE")
    too_long = [("SET", key + b"k", "v"), ("GETSET", key + b"k", "v"), ("MSET", "new", "v", key + b"k", "v"),
                ("COPY", "small", key + b"k"), ("RENAME", "small", key + b"k"), ("INCR", key + b"k"), ("GET", key + b"k")]
    for words in too_long:
        is_error(c.ask(*words), "ERR key of 65536 bytes is longer than 65535")
    for words in (("SET", "new", value + b"x"), ("SETEX", "new", 100, value + b"x"), ("MSET", "new", "v", "n2", value + b"x")):
        is_error(c.ask(*words), "ERR value of %d bytes is longer than value-max (%d)" % (VALUE_MAX + 1, VALUE_MAX))
    for words in (("APPEND", key, "x"), ("SETRANGE", "small", VALUE_MAX, "x")):
        is_error(c.ask(*words), "ERR string exceeds maximum allowed size (value-max)")
    is_error(c.ask("SETBIT", "small", VALUE_MAX * 8, 1), "ERR bit offset is not an integer or out of range")
    is_error(c.ask("MSET", "a", value, "b", value), "ERR 2 records of")  # batch-bytes-max: 16 MiB with their headers
    assert c.do("DBSIZE") == size and c.do("GET", "small") == b"1", "something was applied"


def requests(port):
    """What cannot be a request is answered and the connection closed; others go on."""
    bad = [(b"*1048577\r\n", b"-ERR Protocol error: invalid multibulk length"),
           (b"*2\r\n$3\r\nGET\r\n$536870912\r\n", b"-ERR Protocol error: invalid bulk length"),
           (b"*1\r\n:1\r\n", b"-ERR Protocol error: expected '$', got ':'"),
           (b"x" * (64 * 1024 + 1), b"-ERR Protocol error: too big inline request")]
    for request, answer in bad:
        with socket.create_connection(("127.0.0.1", port), 30) as s:
            s.sendall(request)
            got = b""
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
            assert got.startswith(answer), "%.60r: %r" % (request, got)
    c = Resp(port)
    assert c.do("DEL", *["no:%d" % i for i in range(100000)]) == 0
    c.close()


def connected(c, n):
    wait_for("%d clients" % n, lambda: c.info("clients")["connected_clients"] == str(n))


def clients(writer, first):
    connected(first, 1)
    had = [writer.connect() for _ in range(CLIENTS - 1)]
    for c in had:
        assert c.do("PING") == b"PONG"
    with socket.create_connection(("127.0.0.1", writer.port), 30) as s:
        assert s.recv(100) == b"-ERR max number of clients reached\r\n"
    had.pop().close()
    connected(first, CLIENTS - 1)
    c = writer.connect()
    assert c.do("PING") == b"PONG"
    for c in had + [c]:
        c.close()


def output(writer, c):
    """A reply larger than client-output-bytes-max ends its connection alone; a slow reader of small ones is waited for."""
    c.do("SET", "big", "x" * (4 * MIB))
    greedy = writer.connect()
    greedy.send(greedy.encode("MGET", *["big"] * 20))
    try:
        got = greedy.reply()
    except ConnectionError:
        got = None
    assert got is None, "%d values in one reply" % len(got)
    slow = writer.connect()
    slow.send(slow.encode("GET", "big") * 30)
    time.sleep(0.5)
    assert c.do("PING") == b"PONG"
    for _ in range(30):
        assert len(slow.reply()) == 4 * MIB
    greedy.close()
    slow.close()


def stall(work):
    """PUTs that take longer than commit-timeout."""
    writer = work.node("writer-slow", name="slow", args=["--commit-timeout", "300ms", "--read-timeout", "300ms",
                                                          "--attempt-timeout", "10s"])
    writer.env["FIRN_TEST_PUT_DELAY_MS"] = "2500"
    writer.start()
    c, other = writer.connect(), writer.connect()
    began = time.monotonic()
    c.send(c.encode("INCR", "counter") + c.encode("ECHO", "1") + c.encode("SET", "x", "y") + c.encode("ECHO", "2"))
    is_error(c.reply(), "KVUNKNOWN")
    took = time.monotonic() - began
    assert 0.25 < took < 2, "answered after %.1f s" % took
    assert c.reply() == b"1"
    is_error(c.reply(), "KVUNKNOWN")
    assert c.reply() == b"2"
    began = time.monotonic()
    is_error(other.ask("INCR", "counter"), "KVBUSY")  # at once: nothing of it was applied
    assert time.monotonic() - began < 0.25
    is_error(other.ask("MSET", "a", "1", "b", "2"), "KVBUSY")
    assert other.do("PING") == b"PONG"
    wait_for("the writes are durable", lambda: c.ask("GET", "counter") == b"1")
    assert c.do("GET", "x") == b"y" and c.do("EXISTS", "a", "b") == 0
    assert c.info("stats")["firn_kvunknown"] == "2"
    c.close()
    other.close()
    writer.kill()


def main(bin_dir):
    with Work(bin_dir) as work:
        writer = work.node("writer", args=["--maxclients", str(CLIENTS)]).start()
        reader = work.node("reader", args=["--freshness", "0"]).start()
        c, r = writer.connect(), reader.connect()
        keys_and_values(c, r)
        requests(writer.port)
        clients(writer, c)
        output(writer, c)
        big = c.do("DIGEST", b"k" * KEY_MAX)
        writer.kill()
        writer.start()
        c = writer.connect()
        assert c.do("DIGEST", b"k" * KEY_MAX) == big, "the longest value did not survive a crash"
        c.close()
        r.close()
        writer.kill()
        stall(work)
    print("limits and outcomes are as they should be")


if __name__ == "__main__":
    main(sys.argv[1])
