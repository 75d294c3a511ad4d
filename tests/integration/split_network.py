"""A network that splits. Every node has a network namespace of its own, on one of two sides; the store lies in a third place,
from which both sides are reached. First each side sees the store and not the other: nobody takes over, what one side writes the
other reads at once. Then one side loses the store, too: the standby of the other takes over, and the lost side serves nothing
older than it was asked for. Then all heals. Clients on both sides write down what they see: it must be linearizable.

  split_network.py BIN_DIR

Needs root and iproute2. It runs itself again inside of a namespace, which goes with it: the machine's network is not touched."""
import ctypes
import os
import subprocess
import sys
import threading
import time

from harness import Error, Proxy, Resp, Work, free_port, skip, wait_for
from recorder import Client, Recorder

INSIDE = "SPLIT_NETWORK_INSIDE"
NEW_NETWORK = 0x40000000  # CLONE_NEWNET of setns(2)
ARGS = ("--wal-interval", "5ms", "--manifest-interval", "100ms", "--idle-flush", "300ms", "--heartbeat", "1s",
        "--wal-grace", "20s", "--failover-after", "2s")
SIDES = ("a", "b")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def enter(space):
    """This thread goes on in that namespace."""
    with open("/run/netns/" + space) as f:
        if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def within(space, call):
    """Call it in that namespace."""
    got = []

    def run():
        enter(space)
        try:
            got.append(call())
        except OSError as e:
            got.append(e)

    t = threading.Thread(target=run)
    t.start()
    t.join()
    return got[0]


class Network:
    """Two bridges, a side each, in the namespace we run in, which routes between them and where the store is."""

    def __init__(self):
        self.spaces = []
        ip("link", "set", "lo", "up")
        for n, side in enumerate(SIDES, 1):
            ip("link", "add", "br" + side, "type", "bridge")
            ip("addr", "add", "10.77.%d.1/24" % n, "dev", "br" + side)
            ip("link", "set", "br" + side, "up")
        self.join()

    def gate(self, side):
        return "10.77.%d.1" % (1 + SIDES.index(side))

    def space(self, side):
        """A new namespace on this side: (name, address)."""
        n = len(self.spaces) + 2
        name, address = "firn-%d-%d" % (os.getpid(), n), "10.77.%d.%d" % (1 + SIDES.index(side), n)
        ip("netns", "add", name)
        self.spaces.append(name)
        ip("link", "add", "v%d" % n, "type", "veth", "peer", "name", "e0", "netns", name)
        ip("link", "set", "v%d" % n, "master", "br" + side, "up")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "addr", "add", address + "/24", "dev", "e0")
        ip("-n", name, "link", "set", "e0", "up")
        ip("-n", name, "route", "add", "default", "via", self.gate(side))
        return name, address

    @staticmethod
    def forward(value):
        with open("/proc/sys/net/ipv4/ip_forward", "w") as f:
            f.write(value)

    def split(self):
        """What one side sends to the other is lost without a word."""
        self.forward("0")

    def join(self):
        self.forward("1")

    def lose_store(self, side):
        ip("addr", "del", self.gate(side) + "/24", "dev", "br" + side)

    def find_store(self, side):
        ip("addr", "add", self.gate(side) + "/24", "dev", "br" + side)

    def close(self):
        for name in self.spaces:
            ip("netns", "del", name)


class Cluster:
    def __init__(self, work, network, store_port):
        self.work, self.network, self.store_port = work, network, store_port

    def node(self, side, role, name, args=()):
        n = self.work.node(role, name, args)
        n.side = side
        n.space, n.host = self.network.space(side)
        n.env["AWS_ENDPOINT_URL_S3"] = "http://%s:%d" % (self.network.gate(side), self.store_port)
        n.words = ["ip", "netns", "exec", n.space] + n.words + ["--bind", n.host + " 127.0.0.1"]
        if role != "compactor":
            n.words += ["--protected-mode", "no"]
        if role == "writer":
            n.words += ["--announce-address", "%s:%d" % (n.host, n.port)]
        return n


class SideClient(Client):
    """A client that lives on a side."""

    def __init__(self, recorder, number, reads_only, space):
        super().__init__(recorder, number, reads_only)
        self.space = space

    def run(self):
        enter(self.space)
        super().run()


def ask(node, freshness, *words):
    """One command at this freshness, asked from the node's own place: the reply, or the error."""
    def call():
        c = Resp(node.port, 5.0, node.host)
        c.do("KV.FRESHNESS", freshness)
        got = c.ask(*words)
        c.close()
        return got
    return within(node.space, call)


def is_ready(node):
    return within(node.space, node.is_ready)


def splits(network, nodes, recorder, outsider):
    """Each side sees the store, not the other."""
    w0, w1, r0, r1 = nodes
    network.split()
    before = recorder.answered()
    for i in range(200):
        got = ask(w0, 0, "SET", "across", i)
        assert got == b"OK", got
        for r in (r0, r1):
            got = ask(r, 0, "GET", "across")
            assert got == b"%d" % i, "%s reads %r after %d was acknowledged" % (r.name, got, i)
    got = ask(r1, 0, "SET", "across", "x")
    address = "%s:%d" % (w0.host, w0.port)
    assert isinstance(got, Error) and address in str(got), "a reader sends writers to %r" % got
    got = within(outsider, lambda: Resp(w0.port, 1.0, w0.host))
    assert isinstance(got, OSError), "the other side can be reached: %r" % got
    assert not is_ready(w1), "the standby took over from a writer that serves"
    wait_for("clients of both sides to be served", lambda: recorder.answered() > before + 100)
    print("split: the store is enough for both sides; nobody took over", flush=True)


def loses_store(network, nodes):
    """Side a loses the store: b goes on without it."""
    w0, w1, r0, r1 = nodes
    network.lose_store("a")
    lost = time.monotonic()
    wait_for("the standby to take over", lambda: is_ready(w1))
    print("one side without the store: %.1f s until the other's standby serves" % (time.monotonic() - lost), flush=True)
    assert ask(w1, 0, "SET", "across", "from b") == b"OK"
    assert ask(r1, 0, "GET", "across") == b"from b"
    for n in (w0, r0):
        for freshness in (0, 1000):
            got = ask(n, freshness, "GET", "across")
            assert isinstance(got, (Error, OSError)), "%s without a store answers %r, %.1f s old" % (
                n.name, got, time.monotonic() - lost)
    got = ask(r0, 3600000, "GET", "across")
    assert got in (b"199", b"x"), "a read that may be an hour old: %r" % got
    got = ask(w0, 0, "SET", "across", "from a")
    assert isinstance(got, (Error, OSError)), "a write without a store is answered %r" % got
    wait_for("the reader without a store to be unready", lambda: not is_ready(r0))


def heals(network, nodes, recorder):
    w0, w1, r0, r1 = nodes
    network.find_store("a")
    wait_for("the lost side's reader to read what the other wrote", lambda: ask(r0, 0, "GET", "across") == b"from b")
    wait_for("the old writer to stand by", lambda: w0.process.poll() is None and not is_ready(w0))
    network.join()
    before = recorder.answered()
    wait_for("clients to be served", lambda: recorder.answered() > before + 200)
    for n in (w1, r0, r1):
        got = ask(n, 0, "GET", "across")
        assert got == b"from b", "%s reads %r: an unacknowledged write came back, or an acknowledged one is lost" % (n.name, got)


def run(bin_dir):
    network = Network()
    try:
        with Work(bin_dir, "s3") as work:
            port = free_port()
            with Proxy(work.bin, work.store.endpoint, listen="0.0.0.0:%d" % port):
                c = Cluster(work, network, port)
                w0 = c.node("a", "writer", "w0", ["--node-id", "w0", *ARGS]).start()
                w1 = c.node("b", "writer", "w1", ["--node-id", "w1", "--standby", *ARGS]).start(ready=False)
                r0, r1 = c.node("a", "reader", "r0").start(), c.node("b", "reader", "r1").start()
                c.node("b", "compactor", "c0", ["--table-grace", "5s", "--pin-ttl", "5s"]).start()
                nodes = (w0, w1, r0, r1)
                homes = {side: network.space(side)[0] for side in SIDES}
                recorder = Recorder(work, list(nodes), timeout=1.5)
                recorder.clients = [SideClient(recorder, n, n % 4 > 1, homes[SIDES[n % 2]]) for n in range(8)]
                recorder.start()
                wait_for("clients to be served", lambda: recorder.answered() > 300)
                splits(network, nodes, recorder, homes["b"])
                loses_store(network, nodes)
                heals(network, nodes, recorder)
                recorder.check([w1, r0, r1])
                work.verified()
    finally:
        network.close()


def main():
    if os.environ.get(INSIDE):
        run(sys.argv[1])
        return
    if os.geteuid() != 0:
        skip("not root, and network namespaces need it")
    space = "firn-%d" % os.getpid()
    try:
        made = subprocess.run(["ip", "netns", "add", space], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except FileNotFoundError:
        skip("ip (iproute2) is not installed")
    if made.returncode != 0:
        skip("no network namespaces here: " + made.stdout.decode(errors="replace").strip())
    try:
        status = subprocess.run(["ip", "netns", "exec", space, sys.executable, os.path.abspath(__file__), *sys.argv[1:]],
                                env=dict(os.environ, **{INSIDE: "yes"}), check=False).returncode
    finally:
        subprocess.run(["ip", "netns", "del", space], check=False)
    sys.exit(status)


if __name__ == "__main__":
    main()
