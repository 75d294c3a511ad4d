#!/usr/bin/env python3
"""Random command streams to Firn and to a real redis-server: the replies must be equal.

    oracle.py --firn 127.0.0.1:6379                   against a Firn that runs already (it is flushed!)
    oracle.py --writer build/release/bin/firn-writer  start one over a store in a temporary directory

A redis-server of its own is started from --redis. Every seed is one stream of --count commands over few
keys, sent in pipelines of random length; a difference prints the seed, the commands of the last pipelines
and both replies, and the exit status is 1. Only the Python standard library is used.

Where Firn differs from Redis on purpose, the stream avoids it or DIFFERENCES below says so.
"""
import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

# ---------------------------------------------------------------------------------------------------------
# Intended differences: (reason, test(command, firn's reply, redis' reply) -> equal after all)


class Error(str):
    """An error reply."""


def both_errors_start(text):
    return lambda c, f, r: isinstance(f, Error) and isinstance(r, Error) and \
        f.startswith(text) and r.startswith(text)


def name_is(*names):
    return lambda c: c[0].upper() in names


def near(tolerance):
    return lambda c, f, r: isinstance(f, int) and isinstance(r, int) and f > 0 and r > 0 and \
        abs(f - r) <= tolerance


def same_set(c, f, r):
    return isinstance(f, list) and isinstance(r, list) and sorted(f) == sorted(r)


DIFFERENCES = [
    ("a value is limited by value-max (8 MiB), not by proto-max-bulk-len (512 MiB); the text names it",
     name_is(b"APPEND", b"SETRANGE"), both_errors_start("ERR string exceeds maximum allowed size")),
    ("the two servers run a command at slightly different times",
     name_is(b"TTL", b"EXPIRETIME"), near(2)),
    ("the two servers run a command at slightly different times",
     name_is(b"PTTL", b"PEXPIRETIME"), near(2000)),
    ("KEYS comes in key order, not in hash order", name_is(b"KEYS"), same_set),
    ("Redis cuts an argument that it quotes at its first NUL", lambda c: b"\0" in b"".join(c),
     both_errors_start("ERR unknown command '")),
    ("the time of day", name_is(b"TIME"), lambda c, f, r: isinstance(f, list) and isinstance(r, list)),
    ("which key is random", name_is(b"RANDOMKEY"),
     lambda c, f, r: isinstance(f, bytes) and isinstance(r, bytes)),
]

# Not sent at all, because Firn means them otherwise:
# - SCAN with a cursor that the server did not give (an error here; Redis takes any number), and its order:
#   whole iterations are compared as sets instead.
# - OBJECT ENCODING of values that were changed in place (Firn derives it from the value alone), REFCOUNT and
#   IDLETIME, FREQ (nothing is evicted, so nothing is counted), MEMORY USAGE (other memory).
# - WAIT with replicas (durability is in the store: 0 at once), CONFIG, INFO, COMMAND.
# - DBSIZE while Redis still holds a key whose time has passed: a key set into the past is looked at first,
#   which makes Redis delete it, as Firn does at once.
# - commands for other types than strings (unknown commands here).


def explained(command, firn, redis):
    return any(applies(command) and equal(command, firn, redis)
               for _, applies, equal in DIFFERENCES)


# ---------------------------------------------------------------------------------------------------------
# A client


class Client:
    def __init__(self, host, port):
        self.sock = socket.create_connection((host, port), timeout=30)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def send(self, commands):
        out = []
        for c in commands:
            out.append(b"*%d\r\n" % len(c))
            for word in c:
                out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.sock.sendall(b"".join(out))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return ("+", rest)
        if kind == b"-":
            return Error(rest.decode("latin-1"))
        if kind == b":":
            return int(rest)
        if kind == b",":
            return ("double", float(rest))
        if kind == b"#":
            return ("bool", rest)
        if kind == b"_":
            return ("null",)
        if kind in b"$=":
            n = int(rest)
            return None if n < 0 else self.file.read(n + 2)[:-2]
        if kind in b"*~>":
            n = int(rest)
            return ("null array",) if n < 0 else [self.read() for _ in range(n)]
        if kind == b"%":
            return {repr(self.read()): self.read() for _ in range(int(rest))}
        raise ValueError("not a reply: %r" % line)

    def call(self, *words):
        self.send([[w if isinstance(w, bytes) else str(w).encode() for w in words]])
        return self.read()

    def close(self):
        self.file.close()
        self.sock.close()


# ---------------------------------------------------------------------------------------------------------
# Streams

KEYS = [b"a", b"b", b"c", b"key:1", b"key:2", b"key:3", b"", b"bin\x00\xff\r\n", b"Key:1", b"k" * 300]
PATTERNS = [b"*", b"key:*", b"?", b"[ab]", b"[^a]", b"*:[1-2]", b"k\\ey:1", b"nothing*", b"bin*", b"[a-c"]
INTS = [b"0", b"1", b"-1", b"5", b"10", b"-10", b"100", b"9223372036854775807", b"-9223372036854775808",
        b"9223372036854775808", b"007", b"+1", b" 1", b"1 ", b"1.5", b"abc", b"", b"-0", b"2147483648"]
FLOATS = [b"0.1", b"-1.5", b"3", b"1e3", b"1e400", b"-1e-5", b"nan", b"inf", b"abc", b"", b" 1", b"5.0e3",
          b"0x10", b"123456789.123456789"]
VALUES = [b"", b"v", b"hello world", b"10", b"-7", b"3.25", b"x" * 100, b"\x00\x01\xff", b"10 ", b"1e5",
          b"9223372036854775806", b"caf\xc3\xa9", b"y" * 5000]
COUNTS = [b"0", b"1", b"3", b"-1", b"-3", b"2", b"10", b"100", b"-100", b"abc", b"9223372036854775807"]


class Stream:
    """Random commands from one seed."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def key(self):
        return self.r.choice(KEYS)

    def value(self):
        r = self.r
        if r.random() < 0.2:
            return bytes(r.randrange(256) for _ in range(r.randrange(12)))
        return r.choice(VALUES + INTS[:9])

    def maybe(self, p, *words):
        return list(words) if self.r.random() < p else []

    def case(self, word):
        return word.lower() if self.r.random() < 0.3 else word

    def far(self):
        """A time to live that cannot end while the test runs, or one that Redis refuses."""
        return self.r.choice([b"1000", b"5000", b"100000", b"100000000"] + INTS[6:13] + [b"0", b"-5"])

    def ttl_option(self, keep=True):
        r = self.r
        choice = r.randrange(8)
        if choice == 0:
            return [b"EX", self.far()]
        if choice == 1:
            return [b"PX", r.choice([b"1000000", b"5000000", b"0", b"-1", b"abc"])]
        if choice == 2:
            return [b"EXAT", r.choice([b"4000000000", b"1", b"0", b"-1"])]
        if choice == 3:
            return [b"PXAT", r.choice([b"4000000000000", b"1000", b"0"])]
        if choice == 4 and keep:
            return [b"KEEPTTL"]
        return []

    def set(self):
        r = self.r
        words = [b"SET", self.key(), self.value()]
        options = [self.ttl_option(), r.choice([[], [], [b"NX"], [b"XX"]]), self.maybe(0.2, b"GET"),
                   self.maybe(0.03, r.choice([b"BAD", b"EX", b"PX", b"NX", b"XX", b"PERSIST"])),
                   self.ttl_option() if r.random() < 0.05 else []]
        r.shuffle(options)
        for o in options:
            words += [self.case(w) for w in o]
        return words

    def getex(self):
        r = self.r
        option = self.ttl_option(keep=r.random() < 0.05) if r.random() < 0.7 else [b"PERSIST"]
        return [b"GETEX", self.key()] + option + self.maybe(0.03, b"PERSIST")

    def expire(self):
        r = self.r
        name = r.choice([b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"])
        when = {b"EXPIRE": self.far, b"PEXPIRE": lambda: r.choice([b"1000000", b"9000000", b"0", b"-1", b"x"]),
                b"EXPIREAT": lambda: r.choice([b"4000000000", b"4000000001", b"1", b"-1", b"9223372036854775807"]),
                b"PEXPIREAT": lambda: r.choice([b"4000000000000", b"4000000000001", b"1", b"-1"])}[name]()
        options = [self.case(r.choice([b"NX", b"XX", b"GT", b"LT"])) for _ in range(r.choice([0, 0, 0, 1, 1, 2]))]
        return [name, self.key(), when] + options + self.maybe(0.02, b"YY")

    def pairs(self, name):
        words = [name]
        for _ in range(self.r.randrange(1, 5)):
            words += [self.key(), self.value()]
        return words + self.maybe(0.03, self.key())

    def keys(self, name, most=4):
        return [name] + [self.key() for _ in range(self.r.randrange(1, most))]

    def bit_offset(self):
        return self.r.choice([b"0", b"1", b"5", b"7", b"8", b"14", b"63", b"64", b"100", b"-1", b"4294967296", b"x", b""])

    def bit_range(self, least):
        r = self.r
        n = r.choice([0, 2, 3]) if least == 2 else r.choice([0, 1, 2, 3])
        words = [r.choice(COUNTS) for _ in range(min(n, 2))]
        if n == 3:
            words.append(self.case(r.choice([b"BIT", b"BYTE", b"BIT", b"BYTE", b"BITS"])))
        return words + self.maybe(0.02, b"1")

    def lcs(self):
        r = self.r
        words = self.maybe(0.3, b"LEN") + self.maybe(0.5, b"IDX") + self.maybe(0.3, b"WITHMATCHLEN")
        if r.random() < 0.3:
            words += [b"MINMATCHLEN", r.choice(COUNTS)]
        return [b"LCS", self.key(), self.key()] + [self.case(w) for w in words] + self.maybe(0.02, b"BAD")

    def command(self):
        r = self.r
        k, v = self.key, self.value
        makers = [
            (14, self.set), (8, lambda: [b"GET", k()]), (4, lambda: self.keys(b"MGET")),
            (3, lambda: self.pairs(b"MSET")), (2, lambda: self.pairs(b"MSETNX")),
            (5, lambda: self.keys(b"DEL")), (2, lambda: self.keys(b"UNLINK")),
            (3, lambda: self.keys(b"EXISTS")), (1, lambda: self.keys(b"TOUCH")),
            (2, lambda: [b"TYPE", k()]),
            (3, lambda: [b"INCR", k()]), (3, lambda: [b"DECR", k()]),
            (4, lambda: [b"INCRBY", k(), r.choice(INTS)]), (4, lambda: [b"DECRBY", k(), r.choice(INTS)]),
            (4, lambda: [b"INCRBYFLOAT", k(), r.choice(FLOATS)]),
            (4, lambda: [b"APPEND", k(), v()]), (3, lambda: [b"STRLEN", k()]),
            (4, lambda: [r.choice([b"GETRANGE", b"SUBSTR"]), k(), r.choice(COUNTS), r.choice(COUNTS)]),
            (4, lambda: [b"SETRANGE", k(), r.choice([b"0", b"1", b"7", b"1000", b"-1", b"x", b"99999999999"]),
                         v()]),
            (4, lambda: [b"SETBIT", k(), self.bit_offset(), r.choice([b"0", b"1", b"1", b"2", b"x"])]),
            (3, lambda: [b"GETBIT", k(), self.bit_offset()]),
            (4, lambda: [b"BITCOUNT", k()] + self.bit_range(2)),
            (4, lambda: [b"BITPOS", k(), r.choice([b"0", b"1", b"0", b"1", b"2", b"x"])] + self.bit_range(1)),
            (4, self.lcs),
            (2, lambda: [b"SETNX", k(), v()]), (2, lambda: [b"SETEX", k(), self.far(), v()]),
            (2, lambda: [b"PSETEX", k(), r.choice([b"1000000", b"0", b"-1", b"x"]), v()]),
            (3, lambda: [b"GETSET", k(), v()]), (2, lambda: [b"GETDEL", k()]), (3, self.getex),
            (8, self.expire), (2, lambda: [b"PERSIST", k()]),
            (4, lambda: [r.choice([b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"]), k()]),
            (2, lambda: [b"RENAME", k(), k()]), (2, lambda: [b"RENAMENX", k(), k()]),
            (2, lambda: [b"COPY", k(), k()] + self.maybe(0.3, b"DB", r.choice([b"0", b"1", b"99", b"x"])) +
             self.maybe(0.3, b"REPLACE")),
            (2, lambda: [b"KEYS", r.choice(PATTERNS)]), (1, lambda: [b"RANDOMKEY"]), (2, lambda: [b"DBSIZE"]),
            (1, lambda: [b"SELECT", r.choice([b"0", b"0", b"1", b"2", b"99", b"x"])]),
            (1, lambda: [b"FLUSHDB"] + self.maybe(0.3, r.choice([b"ASYNC", b"SYNC", b"BAD"]))),
            (0.2, lambda: [b"FLUSHALL"]), (1, lambda: [b"ECHO", v()]), (1, lambda: [b"PING"]),
            (0.5, lambda: [b"WAIT", b"0", b"0"]), (0.5, lambda: [b"TIME", b"x"]),
            (0.5, lambda: [b"OBJECT", b"BAD", k()]), (0.5, lambda: [b"NOSUCHCOMMAND", k(), v()]),
            (0.5, lambda: [b"SCAN", r.choice([b"x", b"1.5"])]),
            (0.5, lambda: [b"SCAN", b"0", r.choice([b"COUNT", b"MATCH", b"BAD"])] +
             self.maybe(0.5, r.choice([b"x"]))),
        ]
        words = r.choices([m for _, m in makers], [w for w, _ in makers])[0]()
        words[0] = self.case(words[0])
        if r.random() < 0.02:  # wrong number of arguments
            words = words[:-1] if r.random() < 0.5 and len(words) > 1 else words + [b"extra"]
        return words


def into_the_past(words):
    """SET … EXAT/PXAT of a time gone by: Redis keeps the key until somebody looks."""
    upper = [w.upper() for w in words]
    return upper[0] in (b"SET", b"GETEX") and (b"EXAT" in upper or b"PXAT" in upper)


def valid_scan(words):
    """SCAN 0 whose options Redis takes too: compared as whole iterations, not here."""
    return words[0].upper() == b"SCAN" and len(words) % 2 == 0 and words[1] == b"0" and \
        (len(words) == 2 or words[2].upper() == b"MATCH")


# ---------------------------------------------------------------------------------------------------------
# Comparison


class Difference(Exception):
    pass


class Pair:
    """Both servers, one connection each."""

    def __init__(self, firn, redis, ack):
        self.firn, self.redis = Client(*firn), Client(*redis)
        self.log = []
        self.commands = 0
        if ack and self.firn.call("KV.ACK", ack) != ("+", b"OK"):
            raise Difference("KV.ACK %s was refused" % ack)

    def run(self, commands):
        self.log = (self.log + commands)[-400:]
        self.firn.send(commands)
        self.redis.send(commands)
        for c in commands:
            f, r = self.firn.read(), self.redis.read()
            self.commands += 1
            if f != r and not explained(c, f, r):
                raise Difference("%r\n  firn:  %r\n  redis: %r" % (b" ".join(c), f, r))

    def scan_all(self, client, *options):
        found, cursor, pages = [], b"0", 0
        while True:
            reply = client.call("SCAN", cursor, *options)
            if isinstance(reply, Error):
                raise Difference("SCAN %r %r: %r" % (cursor, options, reply))
            cursor, page = reply
            found += page
            pages += 1
            if cursor == b"0":
                return sorted(set(found)), pages

    def compare_scans(self, r):
        options = []
        if r.random() < 0.7:
            options += [b"MATCH", r.choice(PATTERNS)]
        if r.random() < 0.7:
            options += [b"COUNT", r.choice([b"1", b"2", b"5", b"1000"])]
        if r.random() < 0.2:
            options += [b"TYPE", r.choice([b"string", b"list"])]
        f, _ = self.scan_all(self.firn, *options)
        e, _ = self.scan_all(self.redis, *options)
        if f != e:
            raise Difference("SCAN %r\n  firn:  %r\n  redis: %r" % (options, f, e))

    def compare_databases(self):
        for db in range(3):
            self.run([[b"SELECT", b"%d" % db]])
            keys = sorted(self.redis.call("KEYS", "*"))
            self.run([[b"DBSIZE"]] + [[name, k] for k in keys for name in (b"GET", b"PTTL")])
        self.run([[b"SELECT", b"0"]])

    def compare_encodings(self, r):
        for v in r.sample(VALUES, 3):
            self.run([[b"SET", b"a", v], [b"OBJECT", b"ENCODING", b"a"]])

    def close(self):
        self.firn.close()
        self.redis.close()


def run_seed(firn, redis, seed, count, ack, resp3):
    pair = Pair(firn, redis, ack)
    stream = Stream(seed)
    r = stream.r
    try:
        if resp3:
            for client in (pair.firn, pair.redis):
                client.call("HELLO", "3")
        pair.run([[b"FLUSHALL"]])
        while pair.commands < count:
            batch = []
            for _ in range(r.choice([1, 1, 2, 5, 20, 50])):
                words = stream.command()
                if valid_scan(words):
                    continue
                batch.append(words)
                if into_the_past(words):
                    batch.append([b"EXISTS", words[1]])
            pair.run(batch)
            if r.random() < 0.05:
                pair.compare_scans(r)
            if r.random() < 0.02:
                pair.compare_encodings(r)
        pair.compare_databases()
        return pair.commands
    except Difference as d:
        print("seed %d, after %d commands: DIFFERENCE\n  %s\nlast commands:" % (seed, pair.commands, d))
        for words in pair.log[-40:]:
            print("   ", b" ".join(words))
        return None
    finally:
        pair.close()


# ---------------------------------------------------------------------------------------------------------
# Servers


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, what):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("%s ended with status %d" % (what, process.returncode))
        try:
            client = Client("127.0.0.1", port)
            reply = client.call("PING")
            client.close()
            if reply == ("+", b"PONG"):
                return
        except OSError:
            pass
        time.sleep(0.02)
    sys.exit("%s does not answer on port %d" % (what, port))


def start_redis(binary, directory):
    port = free_port()
    process = subprocess.Popen([binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                                "--appendonly", "no", "--dir", directory],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(port, process, "redis-server")
    return port, process


def start_writer(binary, directory):
    port = free_port()
    for name in ("store", "node"):
        os.mkdir(os.path.join(directory, name))
    log = open(os.path.join(directory, "firn.log"), "wb")
    process = subprocess.Popen([binary, "--store", "file://" + os.path.join(directory, "store"),
                                "--dir", os.path.join(directory, "node"), "--port", str(port),
                                "--http-port", "0", "--bind", "127.0.0.1"], stdout=log, stderr=log)
    log.close()
    wait_for(port, process, "firn-writer")
    return port, process


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--firn", metavar="HOST:PORT", help="a Firn writer that runs already; it is flushed")
    p.add_argument("--writer", help="start this firn-writer over a temporary store")
    p.add_argument("--redis", default="/usr/bin/redis-server")
    p.add_argument("--seed", type=int, default=1, help="first seed")
    p.add_argument("--seeds", type=int, default=4, help="how many seeds")
    p.add_argument("--count", type=int, default=2000, help="commands per seed")
    p.add_argument("--ack", choices=["durable", "applied", "both"], default="both")
    a = p.parse_args()
    if bool(a.firn) == bool(a.writer):
        p.error("give one of --firn and --writer")
    if not os.access(a.redis, os.X_OK):
        print("skipped: no %s" % a.redis)
        return 77
    directory = tempfile.mkdtemp(prefix="firn-oracle-")
    processes = []
    done = 0
    try:
        redis_port, redis = start_redis(a.redis, directory)
        processes.append(redis)
        if a.firn:
            host, port = a.firn.rsplit(":", 1)
            firn = (host, int(port))
        else:
            port, writer = start_writer(a.writer, directory)
            processes.append(writer)
            firn = ("127.0.0.1", port)
        for seed in range(a.seed, a.seed + a.seeds):
            ack = a.ack if a.ack != "both" else ("durable", "applied")[seed % 2]
            n = run_seed(firn, ("127.0.0.1", redis_port), seed, a.count, ack.upper(), seed % 4 >= 2)
            if n is None:
                return 1
            done += n
        print("equal: %d commands, seeds %d to %d" % (done, a.seed, a.seed + a.seeds - 1))
        return 0
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
