"""Pub/sub across nodes: every message once and in order, on the writer and on readers, through flushes, a reader's death and
a take-over; a slow subscriber; keyspace events beside redis-server's.

    pubsub.py BIN_DIR [MESSAGES]"""
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from harness import Error, Resp, Work, free_port, wait_for

CHANNEL = b"news"
WINDOW = 200  # messages on their way


class Listener(threading.Thread):
    """A subscriber that keeps what it gets; `lost` once its connection has ended."""

    def __init__(self, port, *words, resp=2):
        super().__init__(daemon=True)
        self.c = Resp(port)
        self.resp = resp
        self.got = []
        self.lost = False
        if resp == 3:
            self.c.do("HELLO", 3)
        first = self.c.ask(*words)
        assert isinstance(first, list) and first[0] == words[0].lower().encode(), first
        for _ in words[2:]:
            self.c.reply()
        self.start()

    def run(self):
        try:
            while True:
                m = self.c.reply()
                self.got.append(m[-1] if m[0] in (b"message", b"smessage", b"pmessage") else m)
        except (OSError, ValueError):
            self.lost = True


class Cli(threading.Thread):
    """The same with redis-cli."""

    def __init__(self, port, channel):
        super().__init__(daemon=True)
        self.got = []
        self.p = subprocess.Popen(["redis-cli", "-p", str(port), "SUBSCRIBE", channel], stdout=subprocess.PIPE)
        for _ in range(3):
            self.p.stdout.readline()
        self.start()

    def run(self):
        while True:
            lines = [self.p.stdout.readline() for _ in range(3)]
            if not lines[2]:
                return
            assert lines[0] == b"message\n", lines
            self.got.append(lines[2][:-1])

    def close(self):
        self.p.terminate()
        self.p.wait()


class Publisher:
    """Numbers, in order, a SET before and behind each; notes which were acknowledged."""

    def __init__(self):
        self.next = 0
        self.acked = []
        self.unknown = []

    def publish(self, node, count, until=lambda: False):
        """`count` more, or until the connection ends or until() is true."""
        c = node.connect()
        flying, end = [], self.next + count
        try:
            while (self.next < end and not until()) or flying:
                if self.next < end and len(flying) < WINDOW and not until():
                    n = self.next
                    self.next += 1
                    flying.append(n)
                    c.send(Resp.encode("SET", "at", n) + Resp.encode("PUBLISH", CHANNEL, n) + Resp.encode("SET", "past", n))
                    continue
                r = [c.reply() for _ in range(3)]
                n = flying.pop(0)
                if isinstance(r[1], Error):
                    if "READONLY" not in str(r[1]):
                        self.unknown.append(n)
                else:
                    self.acked.append(n)
        except OSError:
            self.unknown += flying
        finally:
            c.close()


def numbers(listener):
    return [int(b) for b in listener.got]


def complete(listener, want, what):
    wait_for("%s: %d messages" % (what, len(want)), lambda: len(listener.got) >= len(want), 60)
    got = numbers(listener)
    assert got == want, "%s: got %d, first difference at %s" % (
        what, len(got), next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), len(want)))


def delivery(work, writer, readers, count):
    """Everybody gets everything, while memtables freeze, flush and the readers change views under it."""
    idle = readers[1].metric(r"firn_tail_polls_total")
    time.sleep(1)
    assert readers[1].metric(r"firn_tail_polls_total") == idle, "a reader without subscribers polls"
    listeners = {
        "writer": Listener(writer.port, "SUBSCRIBE", CHANNEL),
        "reader": Listener(readers[0].port, "SUBSCRIBE", CHANNEL),
        "pattern": Listener(readers[0].port, "PSUBSCRIBE", "ne?s"),
        "resp3": Listener(readers[1].port, "SUBSCRIBE", CHANNEL, resp=3),
    }
    if shutil.which("redis-cli"):
        listeners["redis-cli"] = Cli(readers[1].port, CHANNEL.decode())
    p = Publisher()
    p.publish(writer, count)
    assert p.acked == list(range(count)) and not p.unknown
    for name, l in listeners.items():
        complete(l, p.acked, name)
    flushes = writer.metric(r"firn_flushes_total")
    assert flushes > 0, "no flush came between"
    # The writes around a message are there when it is.
    assert readers[0].connect().do("GET", "past") == b"%d" % (count - 1)
    assert readers[1].metric(r"firn_tail_polls_total") > idle
    cost = readers[1].connect().do("KV.COST")
    cost = dict(zip(cost[::2], cost[1::2]))
    assert cost[b"tail_polls"] > 0 and cost[b"GET_requests"] >= cost[b"tail_polls"], cost
    if "redis-cli" in listeners:
        listeners.pop("redis-cli").close()
    return p, listeners, int(flushes)


def reader_dies(work, writer, reader, p, listeners, count):
    """The others go on; who subscribes again gets all that is published after that."""
    reader.kill()
    wait_for("its subscriber to notice", lambda: listeners["resp3"].lost)
    p.publish(writer, count)
    reader.start()
    again = Listener(reader.port, "SUBSCRIBE", CHANNEL)
    first = p.next
    p.publish(writer, count)
    complete(again, list(range(first, p.next)), "subscribed again")
    for name in ("writer", "reader", "pattern"):
        complete(listeners[name], p.acked, name)
    return again


def take_over(work, writer, readers, p, listeners, count):
    """A second writer takes over in the middle: on readers no message comes twice or out of order, and none that was
    acknowledged is missing."""
    second = work.node("writer", "writer-2")
    fence = threading.Timer(0.5, second.start)
    fence.start()
    p.publish(writer, 1 << 30, until=lambda: writer.process.poll() is not None)
    fence.join()
    wait_for("the old writer to end", lambda: writer.process.poll() is not None)
    assert listeners["writer"].lost
    before = p.next
    p.publish(second, count)
    assert len([n for n in p.acked if n >= before]) == count
    for name in ("reader", "pattern"):
        wait_for("the last message", lambda l=listeners[name]: l.got and int(l.got[-1]) == p.next - 1, 60)
        got = numbers(listeners[name])
        assert got == sorted(set(got)), name + ": twice or out of order"
        missing = set(p.acked) - set(got)
        assert not missing, "%s: %d acknowledged messages missing, %s" % (name, len(missing), sorted(missing)[:5])
        extra = set(got) - set(p.acked) - set(p.unknown)
        assert not extra, "%s: never published: %s" % (name, sorted(extra)[:5])
    return second, before


def slow_subscriber(work, writer, reader):
    """One that does not read is cut off at its bound; the others get everything."""
    slow = Resp(reader.port)
    slow.do("SUBSCRIBE", "bulk")
    good = Listener(reader.port, "SUBSCRIBE", "bulk")
    c = writer.connect()
    text = b"x" * 100000
    for i in range(300):
        c.send(Resp.encode("PUBLISH", "bulk", b"%d " % i + text))
        if i % 20 == 19:
            for _ in range(20):
                assert c.reply() == 0
            wait_for("the good subscriber", lambda: len(good.got) > i, 30)  # a burst is not what is meant here
    wait_for("the good subscriber's messages", lambda: len(good.got) == 300, 60)
    assert [int(m.split()[0]) for m in good.got] == list(range(300))
    wait_for("the slow one to be cut off",
             lambda: reader.metric(r'firn_pubsub_dropped_subscribers_total\{.*why="slow"') == 1)
    try:
        while slow.reply():
            pass
    except (OSError, AssertionError):
        pass
    slow.close()
    assert reader.connect().do("PUBSUB", "NUMSUB", "bulk")[1] == 1


def latency(writer, reader, interval_ms, rounds=40):
    """From the sending of PUBLISH to the message on a reader, and to its acknowledgement."""
    l = Listener(reader.port, "SUBSCRIBE", "when")
    c = writer.connect()
    took, acked = [], []
    for i in range(rounds):
        time.sleep(0.037)
        begin = time.monotonic()
        c.do("PUBLISH", "when", i)
        acked.append(time.monotonic() - begin)
        wait_for("a message", lambda: len(l.got) > i, 10)
        took.append(time.monotonic() - begin)
    took.sort()
    acked.sort()
    print("   PUBLISH to delivery on a reader at tail-interval %d ms: p50 %.1f ms, max %.1f ms; acknowledged p50 %.1f ms"
          % (interval_ms, took[rounds // 2] * 1e3, took[-1] * 1e3, acked[rounds // 2] * 1e3))


EVENTS = """
SET a 1|SET a 2 EX 100|SET a 3 PX 100000 XX|SET a 4 KEEPTTL|SET a 5 NX|SET a 6 GET|SETEX a 100 x|PSETEX a 100000 x|SETNX a 1
SETNX b 1|GETSET b 2|GETEX b|GETEX b EX 100|GETEX b PERSIST|GETEX b PERSIST|GETDEL b|GETDEL b|MSET a 1 b 2 c 3|MSETNX a 1 d 2
MSETNX d 1 e 2|INCR n|INCRBY n 5|DECR n|DECRBY n 2|INCRBYFLOAT n 1.5|APPEND a tail|APPEND fresh x|SETRANGE a 2 zz|SETRANGE g 0 v
SETRANGE nothing 0 |STRLEN a|GET a|EXPIRE a 100|EXPIRE a 100 NX|EXPIRE a 100 XX|PEXPIRE a 100000|EXPIREAT a 99999999999
PEXPIREAT a 99999999999999|EXPIRE nope 1|PERSIST a|PERSIST a|EXPIRE a -1|SET a 1|EXPIREAT a 1|SET a 1|PEXPIRE a 0|SET a 1|RENAME a b
RENAME b b|RENAMENX b c|RENAMENX b z|COPY z y|COPY z y|COPY z y REPLACE|COPY z y DB 3 REPLACE|SELECT 3|GET y|DEL y|SELECT 0|DEL z y nope
UNLINK c|TOUCH n|SETBIT bits 7 1|SETBIT bits 7 1|GETBIT bits 7|BITCOUNT bits|SUBSTR bits 0 1|GETEX bits EXAT 1|SET tl 1|GETEX tl PXAT 1
SETRANGE n 100 x|SET weird\xff\x00key 1|DEL weird\xff\x00key|SELECT 15|SET last 1|FLUSHDB|SET last 2|DEL last|SELECT 0|FLUSHALL|SET end 1
"""


class Full(Listener):
    """Keeps channel and message."""

    def run(self):
        try:
            while True:
                m = self.c.reply()
                self.got.append((m[-2], m[-1]))
        except (OSError, ValueError):
            self.lost = True


def keyspace_events(work, writer, reader):
    """The events of a stream of commands: on the writer and on a reader those of redis-server."""
    if not shutil.which("redis-server"):
        print("   keyspace events: redis-server is not installed")
        return
    commands = [c.split(" ") for line in EVENTS.strip().splitlines() for c in line.split("|")]
    commands = [[w.encode("latin-1") for w in c] for c in commands]
    port = free_port()
    folder = tempfile.mkdtemp(prefix="firn-redis-")
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--save", "", "--dir", folder],
                             stdout=subprocess.DEVNULL)
    try:
        wait_for("redis-server", lambda: answers(port))
        for letters in ("AKE", "KE$", "Eg", "Kx", "g$"):
            c = Resp(port)
            assert c.do("CONFIG", "SET", "notify-keyspace-events", letters) == b"OK"
            want = follow([port], c, commands)[0]
            w = writer.connect()
            assert w.do("CONFIG", "SET", "notify-keyspace-events", letters) == b"OK"
            shown = [x.do("CONFIG", "GET", "notify-keyspace-events") for x in (w, c)]
            assert shown[0] == shown[1], shown
            for name, got in zip(("writer", "reader"), follow([writer.port, reader.port], w, commands)):
                assert got == want, "%s, %s: %s" % (name, letters, first_difference(got, want))
            print("   keyspace events %-4s %d, as redis-server's, on writer and reader" % (letters, len(want)))
    finally:
        redis.terminate()
        redis.wait()
        shutil.rmtree(folder, ignore_errors=True)


def answers(port):
    try:
        c = Resp(port, 5)
        c.do("PING")
        c.close()
        return True
    except OSError:
        return False


def follow(ports, c, commands):
    """Run the commands by c; what subscribers on `ports` get of them, up to a message at the end."""
    c.do("SELECT", 0)
    c.do("FLUSHALL")
    listeners = [Full(n, "PSUBSCRIBE", "__key*", "the-end") for n in ports]
    for words in commands:
        c.ask(*words)
    c.do("PUBLISH", "the-end", "")
    for l in listeners:
        wait_for("the end of the events", lambda l=l: l.got and l.got[-1][0] == b"the-end", 20)
        l.c.sock.shutdown(2)
    return [l.got[:-1] for l in listeners]


def first_difference(got, want):
    for i in range(max(len(got), len(want))):
        a, b = got[i:i + 1], want[i:i + 1]
        if a != b:
            return "event %d is %s, not %s (before: %s)" % (i, a, b, want[max(0, i - 2):i])
    return "none"


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20000
    with Work(sys.argv[1]) as work:
        step = time.monotonic()

        def say(text):
            nonlocal step
            now = time.monotonic()
            print("%6.1f s  %s" % (now - step, text), flush=True)
            step = now

        writer = work.node("writer", args=["--idle-flush", "200ms", "--memtable-bytes", "256kb"]).start()
        bounds = ["--pubsub-output-bytes-max", "4mb", "--pubsub-output-soft-bytes", "2mb"]
        readers = [work.node("reader", "reader-%d" % i, args=bounds + ["--tail-interval", "50ms"]).start() for i in (1, 2)]
        p, listeners, flushes = delivery(work, writer, readers, count)
        say("%d messages between %d writes: each once and in order, for all; %d flushes" % (count, 2 * count, flushes))
        slow_subscriber(work, writer, readers[0])
        say("a slow subscriber is cut off, alone")
        keyspace_events(work, writer, readers[0])
        say("keyspace events")
        latency(writer, readers[0], 50)
        again = reader_dies(work, writer, readers[1], p, listeners, count // 10)
        say("a reader was killed and came back")
        second, before = take_over(work, writer, readers, p, listeners, count // 10)
        say("a second writer took over after %d messages, %d of unknown outcome" % (before, len(p.unknown)))
        assert not again.lost
        for n in [second] + readers:
            assert n.stop() == 0, n.tail()


if __name__ == "__main__":
    main()
