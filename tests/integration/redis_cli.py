"""Redis's own tools against a writer and a reader: redis-cli's scans, statistics and hints, redis-benchmark.

usage: redis_cli.py BIN"""
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time

from harness import Work, skip

KEYS = 200


def tool(words, seconds=60):
    """Run a tool to its end, or for so long; what it printed."""
    p = subprocess.Popen(["stdbuf", "-oL"] + words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        out, _ = p.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        p.kill()
        out, _ = p.communicate()
    return out.decode(errors="replace").replace("\r", "\n")


def cli(port, *words, seconds=60):
    return tool(["redis-cli", "-p", str(port), *words], seconds)


def expect(out, *wanted):
    for w in wanted:
        assert w in out, "no %r in:\n%s" % (w, out)


class Terminal:
    """redis-cli as a person sees it."""

    def __init__(self, port):
        self.prompt = "127.0.0.1:%d> " % port
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.environ["REDISCLI_HISTFILE"] = "/dev/null"
            os.execvp("redis-cli", ["redis-cli", "-p", str(port)])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))

    def type(self, text, wanted, seconds=20):
        """Type, then wait until the screen shows all of what is wanted, and after a command the prompt again (what is
        typed before that is lost)."""
        os.write(self.fd, text.encode())
        shown, end = "", time.monotonic() + seconds
        while not all(w in shown for w in wanted) or (text.endswith("\r") and not shown.endswith(self.prompt)):
            assert time.monotonic() < end, "typed %r, saw %r" % (text, shown)
            if select.select([self.fd], [], [], 0.1)[0]:
                shown = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", shown + os.read(self.fd, 65536).decode(errors="replace"))

    def close(self):
        os.write(self.fd, b"exit\r")
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def scans(port):
    expect(cli(port, "--bigkeys"), "Sampled %d keys in the keyspace!" % KEYS, '"key:%d"' % (KEYS - 1))
    expect(cli(port, "--memkeys"), "Sampled %d keys in the keyspace!" % KEYS)
    expect(cli(port, "--hotkeys"), "ERR An LFU maxmemory policy is not selected")
    assert len(cli(port, "--scan").split()) == KEYS
    assert len(cli(port, "--scan", "--pattern", "key:1*").split()) == 111
    assert cli(port, "--no-raw", "dbsize").strip() == "(integer) %d" % KEYS


def statistics(port):
    out = cli(port, "--stat", "-i", "0.2", seconds=3)
    expect(out, "keys", "mem", "clients", "requests")
    assert len([line for line in out.splitlines() if line.startswith(str(KEYS))]) >= 2, out
    numbers = cli(port, "--latency", "-i", "0.2", seconds=3).split()
    assert len(numbers) == 4 and int(numbers[3]) > 0, numbers  # min, max, mean, samples
    expect(cli(port, "info", "replication"), "role:")


def hints(port):
    t = Terminal(port)
    t.type("", ["127.0.0.1:%d>" % port])
    t.type("setbit", ["key", "offset", "value"])
    t.type("\x15client kill ", ["ID", "SKIPME"])
    t.type("\x15help increx\r", ["INCREX key", "since: 8.8.0", "group: string"])
    t.type("help @pubsub\r", ["PUBLISH channel message"])
    t.type("get key:0\r", ['"x"'])
    t.close()


def benchmark(writer, reader):
    words = ["redis-benchmark", "-n", "2000", "-q", "-r", "100", "-P", "8", "-p"]
    out = tool(words + [str(writer), "-t", "ping,set,get,incr,mset"])
    expect(out, *["%s: " % t for t in ("PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)")])
    assert "rror" not in out and out.count("requests per second") == 6, out
    expect(tool(words + [str(reader), "-t", "ping,get"]), "GET: ")
    expect(tool(words + [str(reader), "-t", "set"]), "READONLY")
    expect(tool(words + [str(writer), "-t", "lpush"]), "ERR unknown command 'LPUSH'")  # strings only


def main(bin_dir):
    for program in ("redis-cli", "redis-benchmark", "stdbuf"):
        if not shutil.which(program):
            skip(program + " is not installed")
    with Work(bin_dir) as work:
        writer = work.node("writer").start()
        reader = work.node("reader", args=["--freshness", "0"]).start()
        c = writer.connect()
        for i in range(KEYS):
            c.do("SET", "key:%d" % i, "x" * (i + 1))
        for node in (writer, reader):
            scans(node.port)
            statistics(node.port)
            hints(node.port)
        benchmark(writer.port, reader.port)
        c.close()
    print("redis-cli and redis-benchmark work")


if __name__ == "__main__":
    main(sys.argv[1])
