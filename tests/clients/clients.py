#!/usr/bin/env python3
"""Programs written against client libraries, run unmodified against a cluster: clients.py BIN_DIR PROGRAM...

A PROGRAM is a command line (one word of the shell); it is given two more words, the ports of the writer and of a reader. It
prints "ok STEP" for each step, "skip STEP why" where its library cannot do that, "kill" when the writer is to be killed and
started again (it then reads one line), and ends with status 0."""
import shlex
import subprocess
import sys
import os

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from harness import Work, skip  # noqa: E402

STEPS = ["connect", "strings", "pipeline", "transaction", "pubsub", "scan", "tracking", "reconnect"]
SECONDS = 120


def run(work, writer, reader, command):
    """The steps that were done and those that were skipped, with why."""
    p = subprocess.Popen(shlex.split(command) + [str(writer.port), str(reader.port)], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    done, skipped = [], {}
    for line in p.stdout:
        words = line.split()
        if words[:1] == ["ok"]:
            done.append(words[1])
        elif words[:1] == ["skip"]:
            skipped[words[1]] = " ".join(words[2:])
        elif words == ["kill"]:
            writer.kill()
            writer.start()
            p.stdin.write("started\n")
            p.stdin.flush()
        else:
            print("    " + line.rstrip())
    errors = p.stderr.read()
    status = p.wait(SECONDS)
    missing = [s for s in STEPS if s not in done and s not in skipped]
    assert status == 0 and not missing, "%s: status %d, not done: %s\n%s" % (command, status, missing, errors[-3000:])
    return done, skipped


def main():
    if len(sys.argv) < 3:
        skip("no client library is at hand")
    with Work(sys.argv[1]) as work:
        writer = work.node("writer").start()
        reader = work.node("reader", args=["--freshness", "0"]).start()
        for command in sys.argv[2:]:
            writer.connect().do("FLUSHALL")
            done, skipped = run(work, writer, reader, command)
            print("%-40s %d steps" % (os.path.basename(shlex.split(command)[-1]), len(done)), flush=True)
            for step, why in skipped.items():
                print("    not done: %s (%s)" % (step, why))


if __name__ == "__main__":
    main()
