#!/usr/bin/env python3
"""Random command streams to Firn and to a real redis-server: the replies must be equal.

    oracle.py --firn 127.0.0.1:6379                   against a Firn that runs already (it is flushed!)
    oracle.py --bin build/release/bin                 start a writer and a reader over a temporary directory

A redis-server of its own is started from --redis. Every seed is one stream of --count commands over few keys, sent
in pipelines of random length, in RESP2 and RESP3, on durable and applied connections; pipelines that only read go to
the reader as well, at freshness 0. A difference prints the seed, the commands of the last pipelines and both replies;
the exit status is 1. --table prints how often each command and option was reached, --reach N fails when one was
reached less than N times. Only the Python standard library is used.

stream.py has the values, values.py, keys.py and connection.py make the commands, differences.py says where Firn differs
on purpose, coverage.py counts.
"""
import argparse
import os
import random
import shutil
import sys
import tempfile

import keys  # noqa: F401 (registers its makers)
import pubsub
import connection  # noqa: F401
import values  # noqa: F401
from coverage import Coverage
from differences import explained
from servers import Servers
from stream import PATTERNS, VALUES, Stream
from wire import Client, Error

READS = {b"GET", b"MGET", b"STRLEN", b"GETRANGE", b"SUBSTR", b"GETBIT", b"BITCOUNT", b"BITPOS", b"LCS", b"EXISTS", b"TYPE",
         b"TOUCH", b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME", b"KEYS", b"DBSIZE", b"RANDOMKEY"}


class Difference(Exception):
    """Unequal replies to a command, or to a procedure."""

    def __init__(self, what, firn=None, redis=None):
        super().__init__("%.300s" % (what,) if firn is None else
                         "%.300s\n  firn:  %.1000r\n  redis: %.1000r" % (what, firn, redis))


def into_the_past(words):
    """SET … EXAT/PXAT of a time gone by: Redis keeps the key until somebody looks, and counts it in DBSIZE."""
    upper = [w.upper() for w in words]
    return upper[0] in (b"SET", b"GETEX") and (b"EXAT" in upper or b"PXAT" in upper)


class Pair:
    """A connection to each server, and one to the reader if there is one."""

    def __init__(self, firn, reader, redis, ack, resp, coverage):
        self.firn, self.redis = Client(*firn), Client(*redis)
        self.reader = Client(*reader) if reader and ack == "DURABLE" else None
        self.ack, self.resp, self.coverage = ack, resp, coverage
        self.db, self.log, self.commands = b"0", [], 0
        self.choose()

    def choose(self):
        """What the stream needs of its connections, from their beginning."""
        for client in (self.firn, self.redis, self.reader):
            if client and self.resp == 3:
                client.call("HELLO", "3")
        if self.firn.call("KV.ACK", self.ack) != ("+", b"OK"):
            raise Difference("KV.ACK %s was refused" % self.ack)
        if self.reader:
            self.reader.call("KV.FRESHNESS", "0")

    def compare(self, client, commands):
        self.log = (self.log + commands)[-400:]
        client.send(commands)
        self.redis.send(commands)
        for c in commands:
            try:
                f = client.read()
            except EOFError:
                raise Difference(c, "connection closed", self.redis.read()) from None
            r = self.redis.read()
            self.commands += 1
            self.coverage.note(c, f, r)
            if f != r and not explained(c, f, r):
                raise Difference(b" ".join(c), f, r)
            if c[0].upper() == b"SELECT" and r == ("+", b"OK"):
                self.db = c[1]

    def run(self, commands):
        """A pipeline; to the reader where it only reads, every other time."""
        if self.reader and self.commands % 2 and all(c[0].upper() in READS for c in commands):
            self.reader.call("SELECT", self.db)
            self.compare(self.reader, commands)
        else:
            self.compare(self.firn, commands)

    def clients(self):
        return [c for c in (self.firn, self.redis, self.reader) if c]

    def close(self):
        for client in self.clients():
            client.close()


# ---------------------------------------------------------------------------------------------------------
# Procedures: what a stream of single commands cannot compare


def whole_scan(client, *options):
    found, cursor = [], b"0"
    while True:
        reply = client.call("SCAN", cursor, *options)
        if isinstance(reply, Error):
            raise Difference("SCAN %r %r: %r" % (cursor, options, reply))
        cursor, page = reply
        found += page
        if cursor == b"0":
            return sorted(set(found))


def compare_scans(pair, r):
    options = []
    if r.random() < 0.7:
        options += [b"MATCH", r.choice(PATTERNS)]
    if r.random() < 0.7:
        options += [b"COUNT", r.choice([b"1", b"2", b"5", b"1000"])]
    if r.random() < 0.3:
        options += [b"TYPE", r.choice([b"string", b"list"])]
    found = []
    for client in pair.clients():
        client.call("SELECT", pair.db)
        found.append(whole_scan(client, *options))
    if options[:1] == [b"MATCH"] and options[1] != b"*":  # differences.py: the empty key
        found = [[k for k in f if k] for f in found]
    if any(f != found[1] for f in found):
        raise Difference("SCAN %r" % options, found[0], found[1])


def compare_encodings(pair, r):
    for v in r.sample(VALUES, 3):
        pair.compare(pair.firn, [[b"SET", b"a", v], [b"OBJECT", b"ENCODING", b"a"], [b"OBJECT", b"FREQ", b"a"]])


def transcript(pair, commands):
    """Commands that have none or several replies each: all that comes up to the reply of a last PING."""
    replies = []
    for client in (pair.firn, pair.redis):
        client.send(commands + [[b"PING", b"the end"]])
        got = [client.read()]
        while got[-1] not in (b"the end", [b"pong", b"the end"]):
            got.append(client.read())
        replies.append(got)
    if replies[0] != replies[1]:
        raise Difference(commands, replies[0], replies[1])


def compare_silence(pair, r):
    """CLIENT REPLY."""
    transcript(pair, r.choice([[[b"CLIENT", b"REPLY", b"SKIP"], [b"SET", b"a", b"1"]],
                               [[b"CLIENT", b"REPLY", b"OFF"], [b"INCR", b"a"], [b"BAD"], [b"CLIENT", b"REPLY", b"ON"]]]))
    pair.compare(pair.firn, [[b"GET", b"a"]])  # a write without a reply is known durable, and on readers, only now


def compare_subscriptions(pair, r):
    transcript(pair, pubsub.subscriptions(r))


def compare_reset(pair, r):
    pair.compare(pair.firn, [[b"CLIENT", b"SETNAME", b"x"], [b"SELECT", b"1"], [b"RESET"], [b"CLIENT", b"GETNAME"],
                             [b"DBSIZE"], [b"HELLO", b"x"], [b"HELLO", b"4"], [b"HELLO", b"3", b"BAD"]])
    pair.db = b"0"
    pair.choose()


def key_specs(info):
    """What COMMAND INFO says of a command's arity and keys (RESP2)."""
    return [info[0], info[1], info[3], info[4], info[5], [dict(zip(s[::2], s[1::2]))[b"flags"] for s in info[8]]]


def compare_tables(pair, r):
    if pair.resp == 3:
        return  # the same, in maps and sets
    names = sorted(n for n in pair.coverage.reached if "|" not in n)
    for name in r.sample(names, 5):
        firn, redis = (client.call("COMMAND", "INFO", name)[0] for client in (pair.firn, pair.redis))
        if key_specs(firn) != key_specs(redis):
            raise Difference("COMMAND INFO " + name, key_specs(firn), key_specs(redis))


PROCEDURES = [(0.05, compare_scans), (0.02, compare_encodings), (0.01, compare_silence), (0.02, compare_subscriptions), (0.01, compare_reset),
              (0.01, compare_tables)]


def compare_databases(pair):
    for db in range(3):
        pair.compare(pair.firn, [[b"SELECT", b"%d" % db]])
        found = sorted(pair.redis.call("KEYS", "*"))
        pair.run([[b"DBSIZE"]] + [[name, k] for k in found for name in (b"GET", b"PTTL")])
    pair.compare(pair.firn, [[b"SELECT", b"0"]])


# ---------------------------------------------------------------------------------------------------------


def pipeline(stream):
    r = stream.r
    commands = []
    length = r.choice([1, 1, 2, 5, 20, 50])
    only_reads = r.random() < 0.25
    while len(commands) < length:
        words = stream.command()
        if only_reads and words[0].upper() not in READS:
            continue
        commands.append(words)
        if into_the_past(words):
            commands.append([b"EXISTS"] + words[1:2])
    return commands


def run_seed(firn, reader, redis, seed, count, ack, coverage):
    resp = 3 if seed % 4 >= 2 else 2
    pair = Pair(firn, reader, redis, ack, resp, coverage)
    stream = Stream(seed)
    r = stream.r
    try:
        pair.run([[b"FLUSHALL"]])
        while pair.commands < count:
            pair.run(pipeline(stream))
            for p, procedure in PROCEDURES:
                if r.random() < p:
                    procedure(pair, r)
        compare_databases(pair)
        return pair.commands
    except (Difference, EOFError, ValueError) as d:
        print("seed %d (RESP%d, %s), after %d commands: DIFFERENCE\n  %s\nlast commands:" %
              (seed, resp, ack, pair.commands, d))
        for words in pair.log[-40:]:
            print("   ", b" ".join(words)[:200])
        return None
    finally:
        pair.close()


def compare_all(a, firn, reader, redis):
    first = a.seed if a.seed >= 0 else random.SystemRandom().randrange(1 << 30)
    clients = Client(*firn), Client(*redis)
    coverage = Coverage(*clients)
    for client in clients:
        client.close()
    done = 0
    for seed in range(first, first + a.seeds):
        ack = a.ack if a.ack != "both" else ("durable", "applied")[seed % 2]
        n = run_seed(firn, reader, redis, seed, a.count, ack.upper(), coverage)
        if n is None:
            return 1
        done += n
    if a.table:
        print(coverage.table())
    print("equal: %d commands, seeds %d to %d" % (done, first, first + a.seeds - 1))
    missing = coverage.missing(a.reach)
    if missing:
        print("reached less than %d times: %s" % (a.reach, "; ".join(missing)))
    return 1 if missing else 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--firn", metavar="HOST:PORT", help="a Firn writer that runs already; it is flushed")
    p.add_argument("--bin", metavar="DIR", help="start the firn-writer and firn-reader in there")
    p.add_argument("--redis", default="/usr/bin/redis-server")
    p.add_argument("--seed", type=int, default=1, help="first seed; -1: a random one")
    p.add_argument("--seeds", type=int, default=4, help="how many seeds")
    p.add_argument("--count", type=int, default=2000, help="commands per seed")
    p.add_argument("--ack", choices=["durable", "applied", "both"], default="both")
    p.add_argument("--table", action="store_true", help="print how often each command and option was reached")
    p.add_argument("--reach", type=int, default=0, metavar="N", help="fail when one was reached less than N times")
    a = p.parse_args()
    if bool(a.firn) == bool(a.bin):
        p.error("give one of --firn and --bin")
    if not os.access(a.redis, os.X_OK):
        print("skipped: no %s" % a.redis)
        return 77
    directory = tempfile.mkdtemp(prefix="firn-oracle-")
    try:
        with Servers(directory) as servers:
            redis = servers.redis(a.redis)
            if a.firn:
                host, port = a.firn.rsplit(":", 1)
                return compare_all(a, (host, int(port)), None, redis)
            firn = servers.node(os.path.join(a.bin, "firn-writer"))
            reader = servers.node(os.path.join(a.bin, "firn-reader"))
            return compare_all(a, firn, reader, redis)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
