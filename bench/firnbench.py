"""What the benches share: nodes started and ended by their pid, the load generator, figures."""
import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

BIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "release", "bin")
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30
STOP_SECONDS = 60
COMPACT_SECONDS = 120
SECONDS_PER_MONTH = 30 * 24 * 3600
DOLLARS_PER_PUT = 5e-6  # S3 Standard, us-east-1; LIST costs the same
DOLLARS_PER_GET = 0.4e-6
PUTS = ("PUT", "LIST", "MP_CREATE", "MP_PART", "MP_COMPLETE")
GETS = ("GET", "HEAD")


# A time-out's SIGTERM unwinds the with-blocks, too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments(about, **values):
    """Every parameter of a bench with its default; --bin says where the programs lie."""
    p = argparse.ArgumentParser(description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--bin", default=BIN, help="folder of the programs (a release build)")
    p.add_argument("--scratch", default=None, help="folder for the stores, which are removed; default: TMPDIR")
    for name, (value, text) in values.items():
        p.add_argument("--" + name.replace("_", "-"), default=value, type=type(value), help=text)
    return p.parse_args()


def table(head, rows):
    """A table in Markdown on stdout."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for r in rows:
        print("| " + " | ".join(str(c) for c in r) + " |")
    print(flush=True)


def machine():
    cpu = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    load = os.getloadavg()[0]
    return (f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} x {cpu.group(1) if cpu else platform.machine()}, "
            f"Linux {platform.release()}, load before the run {load:.1f}")


def cpu_seconds(pid):
    f = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / TICKS


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Node:
    """A Firn program under way; its store and log lie in the bench's folder."""

    def __init__(self, bench, program, *args, cpu=None, env=None, prefix=()):
        self.program = program
        self.log_path = os.path.join(bench.dir, f"{program}-{len(bench.nodes)}.log")
        cmd = [os.path.join(bench.bin, program), "--store", "file://" + bench.store, "--http-port", "0", *args]
        if not program.startswith("firn-compactor"):
            cmd += ["--port", "0"]
        if cpu is not None:
            cmd = ["taskset", "-c", str(cpu), *cmd]
        cmd = [*prefix, *cmd]
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(cmd, stderr=log, env={**os.environ, **(env or {})})
        bench.nodes.append(self)
        self.pid = self.process.pid
        self.ports = self._wait_until_it_serves()

    def _wait_until_it_serves(self):
        end = time.time() + START_SECONDS
        while time.time() < end:
            m = re.search(r"msg=serving .*?(?<!http_)port=(\d+) http_port=(\d+)", open(self.log_path).read())
            if m:
                return int(m.group(1)), int(m.group(2))
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.end(signal.SIGKILL)
        raise SystemExit(f"{self.program} does not serve:\n{open(self.log_path).read()}")

    @property
    def port(self):
        return self.ports[0]

    def cpu(self):
        return cpu_seconds(self.pid)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}/metrics", timeout=10) as r:
            return r.read().decode()

    def requests(self):
        """Requests to the store so far, by operation."""
        return {m.group(1): int(m.group(2))
                for m in re.finditer(r'^firn_store_requests_total\{op="(\w+)".*\} (\d+)$', self.metrics(), re.M)}

    def l0_tables(self):
        return int(float(re.search(r"^firn_l0_tables(?:\{.*\})? (\S+)$", self.metrics(), re.M).group(1)))

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Bench:
    """A folder with one store; with-block: what was started is ended, the folder removed."""

    def __init__(self, args):
        self.bin = args.bin
        self.scratch = args.scratch
        self.nodes = []
        self.others = []

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="firn-bench-", dir=self.scratch)
        self.store = os.path.join(self.dir, "store")
        os.mkdir(self.store)
        return self

    def __exit__(self, *_):
        for n in self.nodes:
            n.end(signal.SIGKILL)
        for p in self.others:
            p.kill()
            p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def node(self, program, *args, **kw):
        return Node(self, program, *args, **kw)

    def spawn(self, cmd):
        p = subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.others.append(p)
        return p

    def load_command(self, port, **flags):
        cmd = [os.path.join(self.bin, "firn-load"), "--port", str(port)]
        for name, value in flags.items():
            flag = "--" + name.replace("_", "-")
            cmd += [flag] if value is True else [flag, str(value)]
        return cmd

    def load(self, port, must=True, **flags):
        """Run firn-load to its end; what it printed. A wrong reply or a lost write ends the bench."""
        p = subprocess.run(self.load_command(port, **flags), stdout=subprocess.PIPE, check=False)
        if p.returncode != 0 and must:
            raise SystemExit(f"firn-load failed: {' '.join(p.args)}")
        return json.loads(p.stdout)


def start_redis(b, prefix=()):
    """A redis-server without persistence, below the words of prefix: its port and pid."""
    port = free_port()
    p = b.spawn([*prefix, "/usr/bin/redis-server", "--port", str(port), "--save", "", "--appendonly", "no"])
    end = time.time() + START_SECONDS
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return port, p.pid
        except OSError:
            time.sleep(0.05)
    raise SystemExit("redis-server does not start")


def compact(b):
    """Run a compactor until L0 is short; its CPU seconds."""
    c = b.node("firn-compactor", "--l0-compact-tables", "1", "--l0-force-tables", "1")
    end = time.time() + COMPACT_SECONDS
    while c.l0_tables() > 1 and time.time() < end:
        time.sleep(0.2)
    cpu = c.cpu()
    c.end()
    return cpu


def redis_cli(port, *words):
    p = subprocess.run(["redis-cli", "-p", str(port), *words], stdout=subprocess.PIPE, check=True, timeout=60)
    return p.stdout.decode().strip()


def cost_per_month(before, after, seconds):
    """PUTs/s and dollars a month of the requests between two counts."""
    def count(ops):
        return sum(after.get(o, 0) - before.get(o, 0) for o in ops)
    dollars = count(PUTS) * DOLLARS_PER_PUT + count(GETS) * DOLLARS_PER_GET
    return count(PUTS) / seconds, dollars / seconds * SECONDS_PER_MONTH
