"""A writer on a directory, killed at random moments: every acknowledged write is there after the restart, what
survives of one connection's pipeline is a prefix of what was sent, and firnctl finds the database whole.

  lifecycle.py BIN_DIR [ROUNDS [SEED]]"""
import random
import sys
import threading
import time

from harness import Error, Resp, Work, wait_for

CLIENTS = 4
ARGS = ("--wal-interval", "2ms", "--memtable-bytes", "1mb", "--manifest-interval", "100ms", "--idle-flush", "1s")


class Client(threading.Thread):
    """Pipelines commands on one connection until it breaks. acked: how many were answered."""

    def __init__(self, port, command, rng):
        super().__init__()
        self.conn = Resp(port)
        self.command = command  # i -> words
        self.rng = random.Random(rng.random())
        self.sent = self.acked = 0
        self.wrong = None

    def run(self):
        try:
            while True:
                n = self.rng.randint(1, 64)
                self.sent += n  # counted first: a part of them may arrive
                self.conn.send(b"".join(Resp.encode(*self.command(i)) for i in range(self.sent - n, self.sent)))
                for _ in range(n):
                    r = self.conn.reply()
                    if isinstance(r, Error):
                        self.wrong = "command %d: %s" % (self.acked, r)
                        return
                    self.acked += 1
        except (OSError, ConnectionError):
            pass  # killed
        finally:
            self.conn.close()


def sets(round_, client):
    return lambda i: ("SET", "r%d:c%d:%d" % (round_, client, i), "v%d:%d:%d " % (round_, client, i) * (i % 50 + 1))


def mixed(round_):
    """INCR and SET in turns."""
    return lambda i: ("INCR", "r%d:n" % round_) if i % 2 == 0 else ("SET", "r%d:m%d" % (round_, i // 2), i // 2)


def read_all(conn, keys):
    out = []
    for at in range(0, len(keys), 500):
        out += conn.do("MGET", *keys[at:at + 500])
    return out


def check_sets(conn, c):
    commands = [c.command(i) for i in range(c.sent)]
    got = read_all(conn, [w[1] for w in commands])
    there = [v is not None for v in got]
    survived = there.index(False) if False in there else len(there)
    assert not any(there[survived:]), "survivors are no prefix: %d of %d, then a hole" % (survived, c.sent)
    assert survived >= c.acked, "%d were acknowledged, %d are there" % (c.acked, survived)
    for w, v in zip(commands[:survived], got):
        assert v == w[2].encode(), "%s has a wrong value" % w[1]


def check_mixed(conn, c, round_):
    incrs = int(conn.do("GET", "r%d:n" % round_) or 0)
    got = read_all(conn, ["r%d:m%d" % (round_, i) for i in range((c.sent + 1) // 2)] or ["none"])
    there = [v is not None for v in got]
    n = there.index(False) if False in there else len(there)
    assert not any(there[n:]), "the SETs that survived are no prefix"
    assert n in (incrs, incrs - 1), "%d INCRs and %d SETs survived: no prefix of the pipeline" % (incrs, n)
    assert incrs + n >= c.acked, "%d were acknowledged, %d are there" % (c.acked, incrs + n)


def verify(work, what):
    rc, out, err = work.ctl("verify")
    assert rc == 0, "verify %s: exit status %d\n%s%s" % (what, rc, out, err)
    last = out.splitlines()[-1]
    assert last.startswith("verify: ok: "), last
    return last


def one_round(work, writer, round_, rng, kept):
    clients = [Client(writer.port, sets(round_, k), rng) for k in range(CLIENTS)]
    clients.append(Client(writer.port, mixed(round_), rng))
    for c in clients:
        c.start()
    if round_ % 2:
        verify(work, "under load")
    time.sleep(rng.uniform(0.1, 1.5))
    writer.kill()
    for c in clients:
        c.join(60)
        assert not c.is_alive() and not c.wrong, c.wrong
    verify(work, "after the kill")
    writer.start()
    conn = writer.connect()
    for c in clients[:CLIENTS]:
        check_sets(conn, c)
    check_mixed(conn, clients[CLIENTS], round_)
    # Of each round something is looked at again in all later ones.
    kept += [(w[1], w[2].encode()) for c in clients[:CLIENTS] for w in [c.command(i) for i in range(min(c.acked, 20))]]
    assert read_all(conn, [k for k, _ in kept]) == [v for _, v in kept], "older rounds' keys have changed"
    conn.close()
    print("round %d: %d acknowledged of %d sent; %s" %
          (round_, sum(c.acked for c in clients), sum(c.sent for c in clients), verify(work, "after the restart")))
    assert sum(c.acked for c in clients) > 0, "nothing was acknowledged"


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print("seed %d" % seed)
    rng = random.Random(seed)
    kept = []
    with Work(sys.argv[1]) as work:
        writer = work.node("writer", args=ARGS).start()
        for r in range(rounds):
            one_round(work, writer, r, rng, kept)
        # A kill in the middle of the start, too.
        for _ in range(3):
            writer.kill()
            writer.start(ready=False)
            time.sleep(rng.uniform(0, 0.2))
        writer.kill()
        writer.start()
        assert writer.stop() == 0, "the writer's exit status after SIGTERM is not 0"
        last = verify(work, "after the stop")
        assert " 0 batches " in last, "the stop left a log: " + last
        reader = work.node("reader").start()
        conn = reader.connect()
        wait_for("the reader", lambda: read_all(conn, [k for k, _ in kept]) == [v for _, v in kept])
        conn.close()
        assert reader.stop() == 0, "the reader's exit status after SIGTERM is not 0"
    print("ok")


if __name__ == "__main__":
    main()
