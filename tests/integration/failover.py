#!/usr/bin/env python3
"""A writer and two standbys over one store, heartbeat 1 s. Clients follow the writer and write without pause while it is killed,
asked to stop, frozen past its take-over, and replaced by a wish. After each: writes go on within the bound, and every
acknowledged write is there; counters have counted each acknowledged INCR once.

The longest silence of a client is printed each time. Only --strict, for a machine that does nothing else, holds it against
the bounds that Firn promises; otherwise it is enough that everybody writes again.

  failover.py BIN_DIR [file|s3] [--strict]"""
import argparse
import signal
import threading
import time

from harness import Error, Resp, Work, wait_for
from recorder import Recorder

PATIENCE = 120.0  # for anything to happen, however busy the machine is
KILLED_SECONDS = 5.0  # from the signal to the first write acknowledged by the next writer
STOPPED_SECONDS = 1.0
CLIENTS = 4
PIPELINE = 16


class Follower(threading.Thread):
    """Writes key after key to whoever takes writes; remembers what was acknowledged."""

    def __init__(self, number, ports):
        super().__init__(daemon=True)
        self.number, self.ports = number, ports
        self.sent = 0  # keys client:number:1 … n, each holding its own number
        self.good = set()  # those acknowledged
        self.counted_min = self.counted_max = 0
        self.unknown = 0
        self.last_ack = 0.0
        self.gap = 0.0  # longest time between two acknowledgements since reset
        self.stopping = False
        self.wrong = []

    def reset(self):
        self.gap = 0.0
        self.last_ack = time.monotonic()

    def run(self):
        at = 0
        while not self.stopping:
            try:
                r = Resp(self.ports[at % len(self.ports)], timeout=3.0)
                while not self.stopping:
                    self.round(r)
            except (OSError, ConnectionError):
                at += 1
                time.sleep(0.02)

    def round(self, r):
        first = self.sent + 1
        words = [("SET", "client:%d:%d" % (self.number, n), n) for n in range(first, first + PIPELINE)]
        words.append(("INCR", "counter:%d" % self.number))
        self.sent += PIPELINE
        self.counted_max += 1
        r.send(b"".join(r.encode(*w) for w in words))
        for n in range(first, first + PIPELINE + 1):
            reply = r.reply()
            now = time.monotonic()
            if isinstance(reply, Error):
                if str(reply).startswith("KVUNKNOWN"):
                    self.unknown += 1
                elif not str(reply).startswith(("READONLY", "KVBUSY", "LOADING")):
                    self.wrong.append(str(reply))
                if n == first:
                    raise ConnectionError(str(reply))  # nothing is taken here: try the next node
                continue
            if n < first + PIPELINE:
                self.good.add(n)
            else:
                self.counted_min += 1
            self.gap = max(self.gap, now - self.last_ack)
            self.last_ack = now


def writer_of(nodes):
    for n in nodes:
        if n.process and n.process.poll() is None and n.is_ready():
            return n
    return None


def check(node, followers):
    r = node.connect()
    lost = 0
    for f in followers:
        good = sorted(f.good)
        for at in range(0, len(good), 1000):
            part = good[at:at + 1000]
            got = r.do("MGET", *["client:%d:%d" % (f.number, n) for n in part])
            lost += sum(1 for n, v in zip(part, got) if v != b"%d" % n)
        count = int(r.do("GET", "counter:%d" % f.number) or 0)
        assert f.counted_min <= count <= f.counted_max, "client %d counted %d, the database says %d (at most %d)" % (
            f.number, f.counted_min, count, f.counted_max)
        assert not f.wrong, f.wrong[:3]
    assert lost == 0, "%d acknowledged writes are lost" % lost
    r.close()


def settle(followers, what, bound, strict):
    """Everybody writes again; tells the longest silence."""
    for f in followers:
        target = len(f.good) + 3 * PIPELINE
        wait_for("client %d writes again" % f.number, lambda f=f, t=target: len(f.good) >= t, PATIENCE)
    gap = max(f.gap for f in followers)
    print("%-28s longest silence %.2f s (promised %.1f s), outcome unknown %d" % (
        what, gap, bound, sum(f.unknown for f in followers)), flush=True)
    assert gap < bound or not strict, "%s: no write for %.2f s" % (what, gap)


class Zombie:
    """A client of a writer that is stopped: what it asks lies in the socket until the writer goes on, long fenced."""

    def __init__(self, node):
        self.conn = node.connect()
        self.conn.do("KV.FRESHNESS", "0")
        assert self.conn.do("SET", "zombie", "old") == b"OK"
        node.process.send_signal(signal.SIGSTOP)
        words = (("GET", "zombie"), ("SET", "zombie", "late"), ("INCR", "zombie:n"), ("GET", "zombie"))
        self.conn.send(b"".join(Resp.encode(*w) for w in words))
        self.asked = words

    def check(self):
        """Nothing of what it hears may be stale, or an acknowledgement."""
        heard = []
        try:
            for w in self.asked:
                heard.append(self.conn.reply())
                assert isinstance(heard[-1], Error), "a fenced writer answers %r to %r" % (heard[-1], w)
        except (OSError, ConnectionError):
            pass  # closed: its outcome is unknown
        print("   a client of the frozen writer hears %s" % (", ".join(str(e).split(" ")[0] for e in heard) or "nothing"))


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("bin_dir")
    p.add_argument("kind", nargs="?", choices=("file", "s3"), default="file")
    p.add_argument("--strict", action="store_true", help="hold the silences against what is promised")
    return p.parse_args()


def main():
    args = arguments()
    kind = args.kind
    with Work(args.bin_dir, kind) as w:
        nodes = []
        for i in range(3):
            n = w.node("writer", "w%d" % i, ["--node-id", "w%d" % i, "--heartbeat", "1s"])
            n.words += ["--announce-address", "127.0.0.1:%d" % n.port]
            nodes.append(n)
        nodes[0].start()
        for n in nodes[1:]:
            n.words += ["--standby"]
            n.start(ready=False)
        reader = w.node("reader", "r0").start()
        for n in nodes[1:]:
            wait_for("%s stands by" % n.name, lambda n=n: "standing by" in n.tail(50), PATIENCE)
        followers = [Follower(i, [n.port for n in nodes]) for i in range(CLIENTS)]
        recorder = Recorder(w, nodes + [reader], pause=0.02).start()
        for f in followers:
            f.reset()
            f.start()
        settle(followers, "at the start", 5.0, args.strict)

        def disturb(what, bound, how):
            old = writer_of(nodes)
            assert old, "nobody serves"
            time.sleep(2.5)  # a few heartbeats were seen
            for f in followers:
                f.reset()
            how(old)
            wait_for("another writer after: " + what, lambda: (writer_of(nodes) or old) is not old, PATIENCE)
            settle(followers, what, bound, args.strict)
            return old

        def again(node):  # as a standby of the next writer
            if "--standby" not in node.words:
                node.words += ["--standby"]
            node.start(ready=False)
            time.sleep(1.5)

        again(disturb("SIGKILL", KILLED_SECONDS, lambda n: n.kill()))
        again(disturb("SIGTERM", STOPPED_SECONDS if kind == "file" else 2 * STOPPED_SECONDS, lambda n: n.stop()))
        again(disturb("SIGKILL again", KILLED_SECONDS, lambda n: n.kill()))

        zombies = []
        frozen = disturb("SIGSTOP", KILLED_SECONDS + 3.0, lambda n: zombies.append(Zombie(n)))
        assert writer_of(nodes).connect().do("SET", "zombie", "new") == b"OK"
        frozen.process.send_signal(signal.SIGCONT)
        zombies[0].check()
        assert writer_of(nodes).connect().do("GET", "zombie") == b"new"
        wait_for("the frozen writer stands by", lambda: frozen.tail(50).rfind("standing by") > frozen.tail(50).rfind("fenced"),
                 PATIENCE)
        assert frozen.process.poll() is None, "it ended instead of standing by"

        now = writer_of(nodes)
        wish = next(n for n in nodes if n is not now and n.process.poll() is None)
        for f in followers:
            f.reset()
        status, out, err = w.ctl("promote", wish.name)
        assert status == 0, err
        wait_for("the promoted node serves", wish.is_ready, PATIENCE)
        settle(followers, "promoted by a wish", 5.0, args.strict)
        for f in followers:
            f.stopping = True
        for f in followers:
            f.join(PATIENCE)
        final = writer_of(nodes)
        recorder.check([final, reader])
        check(final, followers)
        token = final.connect().do("KV.TOKEN")
        r = reader.connect()
        assert r.do("KV.WAIT", token, 60000) == b"OK"
        check(reader, followers)
        wait_for("the reader points at the new writer",
                 lambda: final.words[final.words.index("--announce-address") + 1] in str(r.ask("SET", "a", "b")), PATIENCE)
        print("%d writes acknowledged, none lost" % sum(len(f.good) for f in followers))
        status, out, err = w.ctl("verify")
        assert status == 0, out + err


if __name__ == "__main__":
    main()
