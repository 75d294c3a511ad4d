#!/usr/bin/env python3
"""Random transactions to Firn and to a real redis-server: the replies must be equal.

    transactions.py --bin build/release/bin [--seed N] [--seeds N] [--count N]

Two connections to each server: one watches, queues and executes, the other interferes in between. Every step is
answered by both servers before the next is sent, so that both see one order. Commands, intended differences and
servers are those of oracle.py; what is queued is also cut short, malformed, discarded, reset. Beside those:

- SUBSCRIBE and its kin, CLIENT TRACKING and CACHING, and HELLO with options are not allowed inside of MULTI (Redis
  queues them).
- CLIENT REPLY OFF inside of MULTI silences the whole of EXEC's reply (Redis sends its first line)."""
import argparse
import os
import random
import shutil
import sys
import tempfile

from differences import explained
from oracle import Difference, into_the_past
from servers import Servers
from stream import Stream
from wire import Client, Error


class Both:
    """A connection to each server."""

    def __init__(self, firn, redis, ack, resp):
        self.firn, self.redis, self.ack = Client(*firn), Client(*redis), ack
        self.log, self.commands = [], 0
        if resp == 3:
            for client in (self.firn, self.redis):
                client.call("HELLO", "3")
        self.choose()

    def choose(self):
        self.firn.call("KV.ACK", self.ack)

    def ask(self, words):
        """One command; both replies."""
        self.log = (self.log + [words])[-100:]
        self.commands += 1
        for client in (self.firn, self.redis):
            client.send([words])
        return self.firn.read(), self.redis.read()

    def same(self, words):
        """One command, answered the same; the reply."""
        f, r = self.ask(words)
        if f != r and not explained(words, f, r):
            raise Difference(b" ".join(words), f, r)
        if words[0].upper() == b"RESET":  # or it reads durable state, behind one that writes without waiting
            self.choose()
        return r

    def close(self):
        self.firn.close()
        self.redis.close()


class Transaction:
    """One pair of connections in and out of MULTI, another one that interferes."""

    def __init__(self, firn, redis, seed, ack, resp):
        self.mine, self.other = Both(firn, redis, ack, resp), Both(firn, redis, ack, 2)
        self.stream = Stream(seed)
        self.seen = {}

    def command(self):
        """A command that depends on nothing but the data: not on what Redis has not yet found expired, on which
        replies came before, or on the time."""
        while True:
            words = self.stream.command()
            if not into_the_past(words) and words[0].upper() not in (
                    b"SELECT", b"RESET", b"HELLO", b"QUIT", b"DEBUG", b"SLOWLOG", b"LATENCY", b"MEMORY") and \
                    [w.upper() for w in words[:2]] not in ([b"CLIENT", b"PAUSE"], [b"CLIENT", b"REPLY"]):
                return words

    def count(self, what):
        self.seen[what] = self.seen.get(what, 0) + 1

    def queue_some(self):
        """Queue commands; gives those that both servers took."""
        r, queued = self.stream.r, []
        for _ in range(r.choice([0, 1, 2, 3, 5, 12, 40])):
            words = r.choice([self.command] * 12 + [self.about_connection])()
            reply = self.mine.same(words)
            if reply == ("+", b"QUEUED"):
                queued.append(words)
            elif words == [b"MULTI"] and reply == ("+", b"OK"):
                queued = []  # RESET or DISCARD had ended the one before
        return queued

    def about_connection(self):
        return self.stream.r.choice([
            [b"SELECT", b"1"], [b"SELECT", b"0"], [b"SELECT", b"99"], [b"SELECT", b"x"], [b"PING"], [b"ECHO", b"e"],
            [b"CLIENT", b"SETNAME", b"joe"], [b"CLIENT", b"SETNAME", b"not fit"], [b"CLIENT", b"GETNAME"],
            [b"CLIENT", b"NO-EVICT", b"on"], [b"CLIENT", b"NOSUCH"], [b"UNWATCH"], [b"WAIT", b"0", b"0"],
            [b"MULTI"], [b"WATCH", b"a"], [b"WATCH"], [b"EXEC", b"now"], [b"RESET"], [b"DISCARD"],
        ])

    def execute(self, queued):
        f, r = self.mine.ask([b"EXEC"])
        if isinstance(f, list) and isinstance(r, list) and len(f) == len(r) == len(queued):
            for words, fe, re in zip(queued, f, r):
                if fe != re and not explained(words, fe, re):
                    raise Difference(b"inside EXEC: " + b" ".join(words), fe, re)
            self.count("executed")
        elif f != r:
            raise Difference(b"EXEC of " + b"; ".join(b" ".join(w) for w in queued), f, r)
        else:
            self.count("aborted" if isinstance(f, Error) else "watch failed")

    def interfere(self, p, watched=()):
        r = self.stream.r
        while r.random() < p:
            words = self.command()
            if watched and r.random() < 0.3:
                words = r.choice([[b"APPEND"], [b"DEL"], [b"PERSIST"], [b"EXPIRE"]])
                words = words + [r.choice(watched)] + {b"APPEND": [b"x"], b"EXPIRE": [b"1000"]}.get(words[0], [])
            self.other.same(words)

    def round(self):
        r = self.stream.r
        watched = self.stream.keys(3) if r.random() < 0.6 else []
        if watched:
            self.mine.same([b"WATCH"] + watched)
            self.interfere(0.6, watched)
            if r.random() < 0.1:
                self.mine.same(self.command())
            if r.random() < 0.05:
                self.mine.same([b"UNWATCH"])
        self.mine.same([b"MULTI"] + self.stream.maybe(0.02, b"x"))
        queued = self.queue_some()
        if watched:
            self.interfere(0.6, watched)
        if r.random() < 0.06:
            self.mine.same([r.choice([b"DISCARD", b"RESET"])])
            self.count("given up")
        else:
            self.execute(queued)
        if r.random() < 0.1:
            self.interfere(0.7)
        # RESET and errors may have ended it before: what follows begins outside of MULTI, in database 0.
        self.mine.same([b"DISCARD"])
        self.mine.same([b"SELECT", b"0"])

    def compare_databases(self):
        for db in (b"0", b"1"):
            self.other.same([b"SELECT", db])
            for key in sorted(self.other.redis.call("KEYS", "*")):
                for name in (b"GET", b"PTTL"):
                    self.other.same([name, key])

    def close(self):
        self.mine.close()
        self.other.close()


def run_seed(firn, redis, seed, count, seen):
    ack, resp = ("DURABLE", "APPLIED")[seed % 2], 3 if seed % 4 >= 2 else 2
    t = Transaction(firn, redis, seed, ack, resp)
    try:
        t.mine.same([b"FLUSHALL"])
        while t.mine.commands < count:
            t.round()
        t.compare_databases()
        for what, n in t.seen.items():
            seen[what] = seen.get(what, 0) + n
        return t.mine.commands + t.other.commands
    except (Difference, EOFError, ValueError) as d:
        print("seed %d (RESP%d, %s), after %d commands: DIFFERENCE\n  %s\nlast commands (its own, the other's):" %
              (seed, resp, ack, t.mine.commands, d))
        for words in t.mine.log[-40:] + [[b"--"]] + t.other.log[-10:]:
            print("   ", b" ".join(words)[:200])
        return None
    finally:
        t.close()


def compare_all(a, firn, redis):
    first = a.seed if a.seed >= 0 else random.SystemRandom().randrange(1 << 30)
    seen, done = {}, 0
    for seed in range(first, first + a.seeds):
        n = run_seed(firn, redis, seed, a.count, seen)
        if n is None:
            return 1
        done += n
    print("equal: %d commands, seeds %d to %d; transactions: %s" %
          (done, first, first + a.seeds - 1, ", ".join("%d %s" % (n, w) for w, n in sorted(seen.items()))))
    return 0


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--bin", metavar="DIR", required=True, help="start the firn-writer in there")
    p.add_argument("--redis", default="/usr/bin/redis-server")
    p.add_argument("--seed", type=int, default=1, help="first seed; -1: a random one")
    p.add_argument("--seeds", type=int, default=4, help="how many seeds")
    p.add_argument("--count", type=int, default=1000, help="commands per seed")
    a = p.parse_args()
    if not os.access(a.redis, os.X_OK):
        print("skipped: no %s" % a.redis)
        return 77
    directory = tempfile.mkdtemp(prefix="firn-oracle-")
    try:
        with Servers(directory) as servers:
            redis = servers.redis(a.redis)
            return compare_all(a, servers.node(os.path.join(a.bin, "firn-writer")), redis)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
