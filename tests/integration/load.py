"""Clients under faults: they write keys of their own to whoever takes writes and remember what was acknowledged, and read
the newest of it back. What they may hear meanwhile is known; what was acknowledged must be there in the end.

Every key is written once, with its own number as value, so that a value read tells whether it is right."""
import threading
import time

from harness import Error, Resp, wait_for

PATIENCE = 120.0  # for anything to happen, however busy the machine is
READ_PACE = 0.003  # seconds between two reads of a client: the nodes are to be tested, not Python
EXPECTED = ("KVUNKNOWN", "KVBUSY", "KVSTALE", "READONLY", "LOADING", "CLUSTERDOWN")


class Client(threading.Thread):
    """A connection to one of the nodes, another one when it breaks or is of no use."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.nodes, self.at = list(nodes), 0
        self.done = 0  # requests that were answered well
        self.errors = {}
        self.broken = 0
        self.wrong = []
        self.stopping = False

    def run(self):
        while not self.stopping:
            try:
                conn = Resp(self.nodes[self.at % len(self.nodes)].port, timeout=10.0)
                self.begin(conn)
                while not self.stopping:
                    self.step(conn)
            except (OSError, ConnectionError):
                self.broken += 1
                self.at += 1
                time.sleep(0.05)
            except Exception as e:  # whatever it is, the main thread tells it
                self.wrong.append(repr(e))
                return

    def begin(self, conn):
        pass

    def refused(self, error):
        """An error reply: one of those that a fault may bring, or the test's failure."""
        word = str(error).split(" ")[0]
        self.errors[word] = self.errors.get(word, 0) + 1
        if word not in EXPECTED:
            self.wrong.append(str(error))
        if word == "READONLY":
            raise ConnectionError(str(error))
        time.sleep(0.02)


class Writer(Client):
    def __init__(self, nodes, number, pace, prefix):
        super().__init__(nodes)
        self.number, self.pace, self.prefix, self.sent, self.acked = number, pace, prefix, 0, []
        self.counted_max = self.counted_min = 0

    def key(self, i):
        return "%s:%d:%d" % (self.prefix, self.number, i)

    def counter(self):
        return "%s:count:%d" % (self.prefix, self.number)

    def step(self, conn):
        time.sleep(self.pace)
        i = self.sent
        self.sent += 1
        self.counted_max += 1
        conn.send(Resp.encode("SET", self.key(i), i) + Resp.encode("INCR", self.counter()))
        stored, counted = conn.reply(), conn.reply()
        if not isinstance(counted, Error):
            self.counted_min += 1
        elif str(counted).startswith("KVBUSY"):
            self.counted_max -= 1  # surely not applied
        if isinstance(stored, Error):
            self.refused(stored)
        else:
            self.acked.append(i)
            self.done += 1


class Reader(Client):
    """Reads the newest acknowledged key of a writer, as fresh as asked. With freshness 0 it must be there."""

    def __init__(self, nodes, writer, freshness):
        super().__init__(nodes)
        self.writer, self.freshness = writer, freshness

    def begin(self, conn):
        conn.do("KV.FRESHNESS", self.freshness)

    def step(self, conn):
        if not self.writer.acked:
            time.sleep(0.02)
            return
        time.sleep(READ_PACE)
        newest = self.writer.acked[-1]
        got = conn.ask("GET", self.writer.key(newest))
        if isinstance(got, Error):
            self.refused(got)
        elif got == b"%d" % newest or (got is None and self.freshness != "0"):
            self.done += 1
        else:
            self.wrong.append("%s was acknowledged, and read as %r" % (self.writer.key(newest), got))


class Load:
    """Writers to `writers`; at each of `readers` one client that reads linearizably and one to which an hour is new.
    pace: seconds that a writer rests between two writes; prefix: of the keys, one for each load of a database."""

    def __init__(self, writers, readers, clients=4, pace=0.0, prefix="load"):
        self.writers = [Writer(writers, n, pace, prefix) for n in range(clients)]
        self.fresh = [Reader([r], self.writers[0], "0") for r in readers]
        self.lax = [Reader([r], self.writers[0], "3600000") for r in readers]
        self.all = self.writers + self.fresh + self.lax
        for c in self.all:
            c.start()

    def check(self):
        for c in self.all:
            assert not c.wrong, "%s: %s" % (type(c).__name__, c.wrong[:3])

    def progress(self, who=None, what="service"):
        """Wait until every client (of `who`) has got somewhere since now."""
        who = self.all if who is None else who
        before = [c.done for c in who]
        wait_for("%s for every client" % what,
                 lambda: any(c.wrong for c in who) or all(c.done > b + 5 for c, b in zip(who, before)), PATIENCE)
        self.check()

    def heard(self, word, who):
        """How often clients of `who` heard this error."""
        return sum(c.errors.get(word, 0) for c in who)

    def stop(self):
        for c in self.all:
            c.stopping = True
        for c in self.all:
            c.join(PATIENCE)
            assert not c.is_alive(), "a client hangs"
        self.check()

    def all_there(self, node):
        """What was acknowledged, read from this node; counters have counted each acknowledged INCR once."""
        c = node.connect()
        c.do("KV.FRESHNESS", "0")
        for w in self.writers:
            for at in range(0, len(w.acked), 500):
                part = w.acked[at:at + 500]
                for i, got in zip(part, c.do("MGET", *[w.key(i) for i in part])):
                    assert got == b"%d" % i, "%s was acknowledged and is %r on %s" % (w.key(i), got, node.name)
            count = int(c.do("GET", w.counter()) or 0)
            assert w.counted_min <= count <= w.counted_max, "client %d counted %d to %d, %s says %d" % (
                w.number, w.counted_min, w.counted_max, node.name, count)
        c.close()

    def tell(self):
        def errors(who):
            return {k: sum(c.errors.get(k, 0) for c in who) for c in who for k in c.errors}
        print("   acknowledged %d, refused %r; fresh reads %d, refused %r; lax reads %d, refused %r; connections lost %d" % (
            sum(len(w.acked) for w in self.writers), errors(self.writers), sum(c.done for c in self.fresh),
            errors(self.fresh), sum(c.done for c in self.lax), errors(self.lax), sum(c.broken for c in self.all)), flush=True)
