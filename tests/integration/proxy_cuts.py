"""Each node has a proxy of its own before the store, and the proxies take turns: connections are cut before a request is
passed on, in the midst of its body, before the reply, behind its head, in the midst of its body; replies are late, PUTs
land late, the store says SlowDown in storms. Nothing acknowledged is lost, the history is linearizable, and with the
faults over everybody goes on.

  proxy_cuts.py BIN_DIR [SECONDS]    of faults at each node"""
import contextlib
import sys
import time

from harness import Proxy, Work, wait_for
from load import PATIENCE, Load
from recorder import Recorder

FAULTS = ("--refuse-percent", "8", "--half-percent", "8", "--drop-reply-percent", "8", "--head-percent", "8", "--cut-percent", "8",
          "--error-percent", "15", "--hold-percent", "2", "--hold-ms", "3000", "--put-delay-ms", "0-40", "--get-delay-ms", "0-20",
          "--other-delay-ms", "0-40")
KINDS = ("refused", "heads", "errors", "cut")  # every proxy must have done these
OF_WRITES = ("halves", "replies dropped")  # and these those of the writer and the compactor
ARGS = ("--heartbeat", "1s", "--failover-after", "5s", "--wal-interval", "5ms", "--manifest-interval", "100ms", "--memtable-bytes",
        "64kb", "--wal-slots-max", "64", "--idle-flush", "500ms")
COMPACTOR = ("--compactor-poll-min", "100ms", "--compactor-poll-max", "500ms", "--l0-compact-tables", "2", "--slice-bytes-min", "1",
             "--table-grace", "3s", "--pin-ttl", "3s")


def start_all(work, proxies):
    def node(role, name, args):
        n = work.node(role, name, args)
        n.env["AWS_ENDPOINT_URL_S3"] = proxies[name].url
        return n.start(ready="--standby" not in args)

    writer = node("writer", "w0", ["--node-id", "w0", *ARGS])
    standby = node("writer", "w1", ["--node-id", "w1", "--standby", *ARGS])
    reader = node("reader", "r0", ())
    compactor = node("compactor", "c0", COMPACTOR)
    wait_for("a standby", lambda: standby.said("standing by"), PATIENCE)
    return [writer, standby, reader, compactor]


def main():
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 4.0
    with contextlib.ExitStack() as stack:
        work = stack.enter_context(Work(sys.argv[1], "s3"))
        proxies = {}
        for seed, name in enumerate(("w0", "w1", "r0", "c0")):
            proxies[name] = stack.enter_context(Proxy(work.bin, work.store.endpoint, "--seed", str(seed), *FAULTS))
            proxies[name].calm()
        nodes = start_all(work, proxies)
        writers, reader = nodes[:2], nodes[2]
        recorder = Recorder(work, nodes[:3], pause=0.05).start()
        load = Load(writers, [reader])
        load.progress()
        for name in proxies:
            print("-- faults at " + name, flush=True)
            proxies[name].calm()
            time.sleep(seconds)
            proxies[name].calm()
            load.progress()
        print("-- faults everywhere", flush=True)
        for p in proxies.values():
            p.calm()
        time.sleep(seconds)
        for p in proxies.values():
            p.calm()
        load.progress()
        for n in nodes:
            assert n.process.poll() is None, "%s ended\n%s" % (n.name, n.tail())
        active = wait_for("a writer", lambda: next((n for n in writers if n.is_ready()), None), PATIENCE)
        recorder.check([active, reader])
        load.stop()
        load.tell()
        for n in (active, reader):
            load.all_there(n)
        assert nodes[3].metric("firn_compactions_total") > 0, "nothing was compacted"
        for n in nodes:
            n.kill()
        for name, p in proxies.items():
            counts = p.counts()
            print("   %s: %s" % (name, counts))
            missing = [k for k in KINDS + (OF_WRITES if name in ("w0", "c0") else ()) if not counts.get(k)]
            assert not missing, "%s: no %s" % (name, missing)
        last = work.node("writer", "w2", ARGS)
        last.env["AWS_ENDPOINT_URL_S3"] = work.store.endpoint
        last.start()
        load.all_there(last)
        assert last.stop() == 0
        work.verified()
    print("ok")


if __name__ == "__main__":
    main()
