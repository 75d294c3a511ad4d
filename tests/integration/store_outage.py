"""The store goes away under load and comes back: it breaks every connection, hangs, its gateway is killed, several times.
Nodes start meanwhile and wait for it. Writes wait or are refused as -KVBUSY or -KVUNKNOWN, fresh reads as -KVSTALE, reads
that may be old go on; every node says so and stays up; when the store is back all go on by themselves, and nothing
acknowledged is lost.

  store_outage.py BIN_DIR [KILLS [SECONDS]]    the gateway is killed so often, and stays away for so long"""
import signal
import subprocess
import sys
import time

from harness import Proxy, Work, wait_for
from load import PATIENCE, Load
from recorder import Recorder

ARGS = ("--heartbeat", "1s", "--wal-interval", "5ms", "--manifest-interval", "100ms", "--memtable-bytes", "1mb",
        "--idle-flush", "1s")


def say(text):
    print("-- " + text, flush=True)


def gateway(work, what):
    subprocess.run([work.store.script, what, work.store.dir], check=True)


def start_all(work, proxy):
    """Through the proxy, and while the store is away: nobody can serve yet, and nobody ends."""
    work.store.env["AWS_ENDPOINT_URL_S3"] = proxy.url
    proxy.outage()
    writer = work.node("writer", "w0", ["--node-id", "w0", *ARGS]).start(ready=False)
    reader = work.node("reader", "r0").start(ready=False)
    compactor = work.node("compactor", "c0", ["--compactor-poll-min", "100ms", "--compactor-poll-max", "1s"]).start(ready=False)
    time.sleep(1)
    for n in (writer, reader, compactor):
        assert n.process.poll() is None, "%s did not wait for the store\n%s" % (n.name, n.tail())
    proxy.outage()
    for n in (writer, reader, compactor):
        try:
            wait_for("%s serves" % n.name, n.is_ready, PATIENCE)
        except AssertionError:
            if n is not compactor or n.process.poll() is None:
                raise
            n.start()  # it looked before the writer had made the database
    standby = work.node("writer", "w1", ["--node-id", "w1", "--standby", *ARGS]).start(ready=False)
    wait_for("a standby", lambda: standby.said("standing by"), PATIENCE)
    return writer, standby, reader, compactor


def away(nodes, load, seconds):
    """What is to be seen while the store is away, which it is for so long at least."""
    began = time.monotonic()
    errors = sum(load.heard(word, load.writers) for word in ("KVBUSY", "KVUNKNOWN"))
    stale = load.heard("KVSTALE", load.fresh)
    wait_for("refused writes", lambda: sum(load.heard(w, load.writers) for w in ("KVBUSY", "KVUNKNOWN")) > errors, PATIENCE)
    wait_for("refused fresh reads", lambda: load.heard("KVSTALE", load.fresh) > stale, PATIENCE)
    load.progress(load.lax, "reads that may be old")
    for n in nodes:
        wait_for("%s says so at /readyz" % n.name, lambda n=n: "has failed for" in n.checks(), PATIENCE)
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def back(nodes, load):
    began = time.monotonic()
    load.progress()
    print("   everybody goes on after %.1f s" % (time.monotonic() - began), flush=True)
    for n in nodes:
        assert n.process.poll() is None, "%s ended\n%s" % (n.name, n.tail())


def main():
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    with Work(sys.argv[1], "s3") as work, Proxy(sys.argv[1], work.store.endpoint) as proxy:
        nodes = start_all(work, proxy)
        writer, standby, reader, _ = nodes
        load = Load([writer, standby], [reader])
        recorder = Recorder(work, [writer, standby, reader], pause=0.05).start()
        load.progress()
        say("the store breaks every connection")
        proxy.outage()
        away(nodes, load, 0)
        proxy.outage()
        back(nodes, load)
        say("the store hangs")
        proxy.signal(signal.SIGSTOP)
        away(nodes, load, 0)
        proxy.signal(signal.SIGCONT)
        back(nodes, load)
        for n in range(kills):
            say("the gateway is killed")
            gateway(work, "down")
            away(nodes, load, seconds)
            gateway(work, "up")
            back(nodes, load)
        active = wait_for("a writer", lambda: next((n for n in (writer, standby) if n.is_ready()), None), PATIENCE)
        recorder.check([active, reader])
        load.stop()
        load.tell()
        for n in (active, reader):
            load.all_there(n)
        for n in nodes:
            assert n.said("store failing") and n.said("store answers again"), "%s did not say so\n%s" % (n.name, n.tail())
            n.kill()
        last = work.node("writer", "w2", ARGS).start()
        load.all_there(last)
        assert last.stop() == 0
        work.verified()
    print("ok")


if __name__ == "__main__":
    main()
