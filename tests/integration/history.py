#!/usr/bin/env python3
"""Clients record what they do while the writer is killed, frozen past its take-over and asked to stop, and while a reader is killed: the
history must be linearizable. And the check can fail: an answer that is changed is found."""
import re
import signal
import subprocess
import sys
import time

from harness import Work, wait_for
from recorder import Recorder


def writer_of(nodes):
    return next((n for n in nodes if n.process and n.process.poll() is None and n.is_ready()), None)


def more(recorder, operations=400):
    """The clients get on."""
    target = recorder.answered() + operations
    wait_for("%d more operations" % operations, lambda: recorder.answered() >= target, 60)


def again(node):
    if "--standby" not in node.words:
        node.words += ["--standby"]
    node.start(ready=False)
    wait_for("%s stands by" % node.name, lambda: "standing by" in node.tail(5), 30)


def disturb(nodes, recorder, how):
    old = wait_for("a writer", lambda: writer_of(nodes), 30)
    time.sleep(2.5)  # a few heartbeats were seen
    how(old)
    wait_for("another writer", lambda: (writer_of(nodes) or old) is not old, 30)
    more(recorder)
    return old


def check_that_it_can_fail(recorder):
    """The last read of a counter, one less."""
    with open(recorder.log.path) as f:
        lines = f.read().splitlines()
    at = max(i for i, line in enumerate(lines) if re.search(r" final : GET h\.i\d+ => \$\d+$", line))
    head, count = lines[at].rsplit("$", 1)
    lines[at] = "%s$%d" % (head, int(count) - 1)
    p = subprocess.run([recorder.program, "-"], input="\n".join(lines).encode(), stdout=subprocess.PIPE, check=False)
    assert p.returncode == 1 and b"not linearizable" in p.stdout, p.stdout.decode()


def main():
    bin_dir = sys.argv[1]
    kind = sys.argv[2] if len(sys.argv) > 2 else "file"
    with Work(bin_dir, kind) as w:
        writers = []
        for i in range(2):
            n = w.node("writer", "w%d" % i, ["--node-id", "w%d" % i, "--heartbeat", "1s", "--idle-flush", "1s"])
            n.words += ["--announce-address", "127.0.0.1:%d" % n.port]
            writers.append(n)
        writers[0].start()
        again(writers[1])
        readers = [w.node("reader", "r%d" % i).start() for i in range(2)]
        w.node("compactor", "c0").start(ready=False)
        recorder = Recorder(w, writers + readers).start()
        more(recorder)

        again(disturb(writers, recorder, lambda n: n.kill()))
        readers[0].kill()
        more(recorder)
        readers[0].start()
        frozen = disturb(writers, recorder, lambda n: n.process.send_signal(signal.SIGSTOP))
        frozen.process.send_signal(signal.SIGCONT)
        wait_for("the frozen writer stands by", lambda: frozen.tail(50).rfind("standing by") > frozen.tail(50).rfind("fenced"), 30)
        more(recorder)
        again(disturb(writers, recorder, lambda n: n.stop()))
        recorder.check(readers + [wait_for("a writer", lambda: writer_of(writers), 30)])
        check_that_it_can_fail(recorder)


if __name__ == "__main__":
    main()
