"""Clients of real programs that write down what they did and were told, and history_check, which says whether that can be right.

    recorder = Recorder(work, nodes)      # nodes that may be asked: writers, standbys, readers, alive or not
    recorder.start()
    ... disturb the cluster ...
    recorder.check()                      # stops, reads everything once more, fails if the history is not linearizable

Some threads, each with a connection of its own to one node at a time, read and write a few keys as fast as they are answered, so that they
meet: unique values by SET, MSET and compare-and-set, DEL, INCR, SETNX, transactions, reads of several keys at freshness 0 and above. Who is
told -READONLY or -MOVED, or loses its connection, goes to the next node. What was not answered, by loss, time-out or -KVUNKNOWN, may have
been applied, once; any other error says that it was not. Times are of this machine's monotonic clock."""
import collections
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time

from harness import Error, Resp

WORK_STEPS = 20000000  # of history_check for one key
QUOTED = re.compile(rb'[^\x21-\x7e]|[%";=:]')
AWAY = ("READONLY", "MOVED", "REDIRECT", "CLUSTERDOWN", "LOADING", "NOAUTH")  # this node takes no writes, or nothing at all


def quote(word):
    b = word if isinstance(word, bytes) else str(word).encode()
    return QUOTED.sub(lambda m: b"%%%02x" % m.group(0)[0], b).decode()


class Status(list):
    """+OK, or another one."""


class NoArray(list):
    """The answer to an EXEC that was not executed."""


def item(reply):
    """A reply as the checker reads it: flat."""
    if reply is None:
        return "_"
    if isinstance(reply, Status):
        return "+"
    if isinstance(reply, NoArray):
        return "~"
    if isinstance(reply, Error):
        return "-" + quote(str(reply))
    if isinstance(reply, int):
        return ":%d" % reply
    if isinstance(reply, list):
        return " ".join(item(r) for r in reply)
    return "$" + quote(reply)


class Raw(Resp):
    """A connection that tells statuses from strings, and an absent array from an absent string."""

    def parse(self, kind, rest):
        if kind == b"+":
            return Status()
        if kind == b"*" and rest == b"-1":
            return NoArray()
        return super().parse(kind, rest)


class Log:
    """The file, a line per operation, shared by all threads."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "w")
        self.lock = threading.Lock()
        self.operations = 0
        self.sessions = 0
        self.answers = collections.Counter()

    def session(self):
        with self.lock:
            self.sessions += 1
            return self.sessions

    def write(self, head, commands, invoked, replied, reply, answered, flags=""):
        words = " ; ".join(" ".join(quote(w) if w != "" else '""' for w in c) for c in commands)
        line = "%s %d %s%s : %s" % (head, invoked, replied if answered else "-", flags, words)
        if answered:
            line += " => " + item(reply)
        kind = "unanswered" if not answered else str(reply).split(" ")[0] if isinstance(reply, Error) else "answered"
        with self.lock:
            self.file.write(line + "\n")
            self.operations += 1
            self.answers[kind] += 1

    def close(self):
        self.file.close()


class Client(threading.Thread):
    """One client: a connection at a time, one operation, or one pipeline, at a time."""

    def __init__(self, recorder, number, reads_only):
        super().__init__(daemon=True)
        self.recorder, self.number, self.reads_only = recorder, number, reads_only
        self.random = random.Random("%s %d" % (recorder.seed, number))
        self.at = number  # which node
        self.serial = 0
        self.connection = None
        self.session = 0
        self.freshness_ms = 0
        self.seen = {}  # values read: what compare-and-set names
        self.failure = None

    def run(self):
        r = self.recorder
        try:
            while not r.stopping.is_set():
                if not self.connection and not self.connect():
                    self.at += 1
                    r.stopping.wait(0.02)
                    continue
                self.turn()
                if r.pause:
                    r.stopping.wait(self.random.random() * r.pause)
        except Exception as e:  # a bug of the recorder, or an answer that is not RESP
            self.failure = e
        self.close()

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def node(self):
        nodes = self.recorder.nodes
        return nodes[self.at % len(nodes)]

    def connect(self):
        try:
            c = Raw(self.node().port, self.recorder.timeout, self.node().host)
        except OSError:
            return False
        self.freshness_ms = self.random.choice(self.recorder.freshness)
        try:
            ok = c.ask("KV.FRESHNESS", self.freshness_ms)
        except (OSError, ConnectionError):
            ok = None
        if not isinstance(ok, Status):
            c.close()
            return False
        self.connection = c
        self.session = self.recorder.log.session()
        return True

    def head(self):
        return "%d %d %d %d" % (self.session, self.at % len(self.recorder.nodes), self.number, self.freshness_ms * 1000000)

    # ---- what is done

    def value(self):
        self.serial += 1
        return "v%d.%d" % (self.number, self.serial)

    def key(self, kind):
        return "%s.%s%d" % (self.recorder.prefix, kind, self.random.randrange(self.recorder.keys))

    def write(self):
        """The commands of one operation."""
        choice = self.random.randrange(12)
        a = self.key("r")
        if choice < 3:
            return [("SET", a, self.value())]
        if choice == 3:
            b = self.key("r")
            return [("MSET", a, self.value(), b, self.value())] if a != b else [("SET", a, self.value())]
        if choice == 4:
            return [("SET", a, self.value(), "IFEQ", self.seen.get(a, "none"))]
        if choice == 5:
            return [("DEL", a)]
        if choice in (6, 7):
            return [("INCR", self.key("i"))]
        if choice == 8:
            return [("SETNX", self.key("n"), self.value())]
        if choice == 9:
            return [("DEL", self.key("n"))]
        if choice == 10:
            return [("GETDEL", self.key("n"))]
        return [("SET", a, self.value()), ("INCR", self.key("i")), ("GET", self.key("n"))]

    def read(self):
        choice = self.random.randrange(4)
        if choice == 0:
            return [("MGET", self.key("r"), self.key("i"), self.key("n"))]
        return [("GET", self.key("rin"[choice - 1]))]

    def turn(self):
        """A few operations, sent at once; then their replies."""
        n = 1 if self.random.randrange(3) else self.random.randrange(2, 6)
        batch = []
        for _ in range(n):
            reads = self.reads_only or self.random.randrange(2)
            batch.append(self.read() if reads else self.write())
        self.send(batch)

    def send(self, batch, flags=""):
        """Do these operations and write them down; true if all were answered."""
        data = b"".join(self.encode(commands) for commands in batch)
        invoked = time.monotonic_ns()
        done, away = 0, False
        try:
            self.connection.send(data)
            for commands in batch:
                reply = self.answer(commands)
                self.note(commands, invoked, time.monotonic_ns(), reply, True, flags)
                done += 1
                away |= isinstance(reply, Error) and str(reply).startswith(AWAY)
        except (OSError, ConnectionError):
            for commands in batch[done:]:
                self.note(commands, invoked, None, None, False, flags)
            away = True
        if away:
            self.close()
            self.at += 1
            self.recorder.stopping.wait(0.01)
        return done == len(batch) and not away

    @staticmethod
    def encode(commands):
        if len(commands) == 1:
            return Raw.encode(*commands[0])
        return b"".join([Raw.encode("MULTI")] + [Raw.encode(*c) for c in commands] + [Raw.encode("EXEC")])

    def answer(self, commands):
        """The reply to the operation: of a transaction, what EXEC says."""
        if len(commands) > 1:
            for _ in range(len(commands) + 1):
                self.connection.reply()
        return self.connection.reply()

    def note(self, commands, invoked, replied, reply, answered, flags):
        flags += " exec" if len(commands) > 1 else ""
        self.recorder.log.write(self.head(), commands, invoked, replied, reply, answered, flags)
        if answered and commands[0][0] == "GET" and isinstance(reply, bytes):
            self.seen[commands[0][1]] = reply


class Recorder:
    """Clients that write down what they do. work: harness.Work; nodes: harness.Node, to which more may be appended while it runs."""

    def __init__(self, work, nodes, writers=3, readers=2, keys=3, freshness=(0, 0, 0, 500), timeout=5.0, pause=0.005, seed=None, prefix="h"):
        self.nodes, self.timeout, self.pause, self.keys, self.prefix = nodes, timeout, pause, keys, prefix
        self.freshness = freshness
        self.seed = seed if seed is not None else random.randrange(1 << 32)
        self.program = os.path.join(work.bin, "history_check")
        self.stopping = threading.Event()
        self.log = Log(os.path.join(work.dir, "history-%s.txt" % prefix))
        self.clients = [Client(self, n, n >= writers) for n in range(writers + readers)]

    def start(self):
        for c in self.clients:
            c.start()
        return self

    def answered(self):
        """How many operations were answered without an error: to wait for progress."""
        return self.log.answers["answered"]

    def stop(self):
        self.stopping.set()
        for c in self.clients:
            c.join(2 * self.timeout)
            assert not c.is_alive(), "client %d does not end" % c.number
            if c.failure:
                raise c.failure

    def last_reads(self, nodes):
        """Every key on each of these nodes, at freshness 0."""
        commands = [[("GET", "%s.%s%d" % (self.prefix, kind, n))] for kind in "rin" for n in range(self.keys)]
        for node in nodes:
            c = Client(self, len(self.clients), True)
            c.at = self.nodes.index(node)
            self.freshness = (0,)
            assert c.connect(), "%s takes no connection" % node.name
            assert c.send(commands, " final"), "%s does not answer the last reads" % node.name
            c.close()

    def check(self, nodes=(), least=100):
        """Stop, read all on `nodes`, and check the history, which must hold `least` operations that were answered."""
        self.stop()
        self.last_reads(nodes)
        self.log.close()
        p = subprocess.run([self.program, "--drift-ppm", "10000", "--work", str(WORK_STEPS), self.log.path],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        said = p.stdout.decode(errors="replace").strip()
        print("history (seed %s): %s; %s" % (self.seed, ", ".join("%s %d" % kv for kv in sorted(self.log.answers.items())), said), flush=True)
        if p.returncode != 0:
            kept = os.path.join(tempfile.gettempdir(), "firn-history-%d.txt" % os.getpid())
            shutil.copyfile(self.log.path, kept)
            raise AssertionError("the history is %s; it is kept as %s" % ({1: "wrong", 3: "not decided"}.get(p.returncode, "not readable"), kept))
        assert self.answered() >= least, "only %d operations were answered" % self.answered()
