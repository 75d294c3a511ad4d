"""Groups are all or nothing and requests with an ID are committed once, while writers are killed at random moments and
taken over from alive, and clients repeat every request until they are told how it ended.

    transactions.py BIN_DIR [ROUNDS [SEED]]"""
import random
import sys
import threading
import time

from harness import Error, Resp, Work, wait_for

CLIENTS = 4
# Outcomes after which a client asks again, with the same ID.
AGAIN = ("KVUNKNOWN", "KVBUSY", "KVSTALE", "READONLY", "LOADING")


class Client(threading.Thread):
    """Sends numbered requests to whoever serves, one after the other."""

    def __init__(self, number, cluster, seed):
        super().__init__(daemon=True)
        self.number, self.cluster, self.random = number, cluster, random.Random(seed)
        self.conn = None
        self.answers = {}  # ID -> results
        self.retries = 0
        self.failed = None

    def drop(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def ask(self, *words):
        """The reply, or None: nothing is known."""
        try:
            if self.conn is None:
                self.conn = Resp(self.cluster.serving.port, timeout=5.0)
            reply = self.conn.ask(*words)
        except (OSError, ConnectionError):
            self.drop()
            return None
        if isinstance(reply, Error):
            if str(reply).split(" ")[0] not in AGAIN:
                raise AssertionError("%r: %s" % (words, reply))
            self.drop()
            return None
        return reply

    def words_of(self, n):
        """A batch that raises two counters and leaves a mark; a third of them only if it is not there yet."""
        mark = "mark:%d:%d" % (self.number, n)
        ops = [3, "INCRBY", "left", 1, 3, "SET", mark, "1", 3, "INCRBY", "right", 1]
        if n % 3:
            return ["KV.BATCH", "ID", "r:" + mark, 3] + ops
        return ["KV.TXN", "ID", "r:" + mark, 1, "EXISTS", mark, "=", 0, "THEN", 3] + ops + ["ELSE", 0]

    def request(self, n):
        words = self.words_of(n)
        while not self.cluster.over:
            reply = self.ask(*words)
            if reply is not None:
                self.answers[n] = reply[-1]
                assert n % 3 or reply[0] == 1, "its own mark was there: %r" % reply
                return
            self.retries += 1
            time.sleep(self.random.random() * 0.02)

    def transaction(self):
        """Without an ID: once, whatever comes of it."""
        if self.ask("MULTI") == b"OK":
            if self.ask("INCR", "one") == b"QUEUED" and self.ask("DEL", "none") == b"QUEUED" and \
                    self.ask("INCR", "two") == b"QUEUED":
                reply = self.ask("EXEC")
                if reply is not None:
                    assert reply[0] == reply[2] and reply[1] == 0, reply
            else:
                self.drop()

    def run(self):
        n = 0
        try:
            while not self.cluster.over:
                self.request(n)
                n += 1
                if n % 4 == 0:
                    self.transaction()
        except BaseException as e:  # told to the main thread
            self.failed = e
        self.drop()


class Cluster:
    def __init__(self, work):
        self.work = work
        self.over = False
        self.count = 0
        self.serving = self.new_writer()

    def new_writer(self):
        self.count += 1
        args = ["--idle-flush", "1s", "--memtable-bytes", "1mb"]
        return self.work.node("writer", "writer-%d" % self.count, args).start()

    def crash(self):
        self.serving.kill()
        self.serving.start()

    def take_over(self):
        """A second writer, while the first one lives and is written to."""
        old = self.serving
        self.serving = self.new_writer()
        wait_for("the older writer to stop", lambda: old.process.poll() is not None)


def check_pairs(conn):
    """No group was applied by half."""
    assert conn.do("MULTI") == b"OK"
    for key in ("left", "right", "one", "two"):
        conn.do("GET", key)
    left, right, one, two = conn.do("EXEC")
    assert left == right, (left, right)
    assert one == two, (one, two)
    return int(left or 0)


def check_answers(clients, conn, total):
    """Every request was answered with values of its own, and its retry is answered the same."""
    seen = set()
    for c in clients:
        for n, results in c.answers.items():
            assert results[0] == results[2] and results[1] == b"OK", results
            assert results[0] not in seen, "%d was given out twice" % results[0]
            seen.add(results[0])
    assert seen == set(range(1, total + 1))
    for c in clients:
        for n, results in list(c.answers.items())[::7]:
            assert conn.do(*c.words_of(n))[-1] == results
    assert check_pairs(conn) == total


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 30)
    print("seed", seed)
    r = random.Random(seed)
    with Work(sys.argv[1]) as work:
        cluster = Cluster(work)
        clients = [Client(i, cluster, seed + i) for i in range(CLIENTS)]
        for c in clients:
            c.start()
        for i in range(rounds):
            time.sleep(0.1 + r.random() * 0.7)
            cluster.take_over() if i % 3 == 2 else cluster.crash()
            check_pairs(cluster.serving.connect())
        time.sleep(0.3)
        cluster.over = True
        for c in clients:
            c.join(30)
            if c.failed:
                raise c.failed
        conn = cluster.serving.connect()
        for c in clients:  # what was asked last may not have been answered
            n = len(c.answers)
            c.answers[n] = conn.do(*c.words_of(n))[-1]
        total = sum(len(c.answers) for c in clients)
        assert total > 20 * rounds, "only %d requests" % total
        check_answers(clients, conn, total)
        wait_for("a flush", lambda: int(conn.info()["firn_unflushed_slots"]) == 0)
        conn.close()
        cluster.crash()  # all of it comes from tables now
        conn = cluster.serving.connect()
        check_answers(clients, conn, total)
        work.verified()
        print("%d requests, %d repeated, %d writers" % (total, sum(c.retries for c in clients), cluster.count))


main()
