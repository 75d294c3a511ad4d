"""What the integration scripts share: programs under test, a small RESP client, stores that can be listed.

Only the standard library. Every process is ended by the object that started it; every port is a free one."""
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SKIPPED = 77


def skip(why):
    print("skipped: " + why)
    sys.exit(SKIPPED)


PORTS = range(10000, 20000)  # below those that the system gives to outgoing connections
given_ports = set()


def free_port():
    """A port that nobody listens on, never given twice: a node may open it much later (a standby when it serves)."""
    while True:
        port = random.choice(PORTS)
        if port in given_ports:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        given_ports.add(port)
        return port


def wait_for(what, condition, seconds=30.0):
    """Wait until condition() is true; fail naming `what` when the deadline passes."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError("not in %g s: %s" % (seconds, what))
        time.sleep(0.02)


def flip(data, at):
    """The same with one bit changed."""
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]


class Error(Exception):
    """An error reply."""


class Resp:
    """A connection, with pipelining; RESP2, or RESP3 after HELLO 3 (maps come as flat lists)."""

    def __init__(self, port, timeout=60.0, host="127.0.0.1"):
        self.sock = socket.create_connection((host, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb", 1 << 18)

    def close(self):
        self.file.close()
        self.sock.close()

    @staticmethod
    def encode(*words):
        out = [b"*%d\r\n" % len(words)]
        for w in words:
            b = w if isinstance(w, bytes) else str(w).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(b), b))
        return b"".join(out)

    def send(self, data):
        self.sock.sendall(data)

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("connection closed")
        return self.parse(line[:1], line[1:-2])

    def parse(self, kind, rest):
        """The reply that begins with this line; what follows it is read."""
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            return Error(rest.decode(errors="replace"))
        if kind == b"$":
            n = int(rest)
            return None if n < 0 else self.file.read(n + 2)[:-2]
        if kind in b"*>~%":
            n = int(rest) * (2 if kind == b"%" else 1)
            return None if n < 0 else [self.reply() for _ in range(n)]
        if kind == b"_":
            return None
        raise AssertionError("not RESP: %r" % (kind + rest))

    def do(self, *words):
        """One command; an error reply is raised."""
        self.send(self.encode(*words))
        r = self.reply()
        if isinstance(r, Error):
            raise r
        return r

    def ask(self, *words):
        """One command; an error reply is returned."""
        self.send(self.encode(*words))
        return self.reply()

    def info(self, section="firn"):
        text = self.do("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class Node:
    """A program of the cluster."""

    host = "127.0.0.1"

    def __init__(self, work, bin_dir, role, store, name=None, env=None, args=()):
        self.name = name or role
        self.program = os.path.join(bin_dir, "firn-" + role)
        self.port = free_port()
        self.http = free_port()
        self.dir = os.path.join(work, self.name)
        self.log = os.path.join(work, self.name + ".log")
        self.env = dict(os.environ, **(env or {}))
        self.words = [self.program, "--store", store, "--http-port", str(self.http), "--dir", self.dir]
        if role != "compactor":
            self.words += ["--port", str(self.port)]
        self.words += list(args)
        self.process = None

    def start(self, ready=True, seconds=60.0):
        log = open(self.log, "ab")
        self.process = subprocess.Popen(self.words, stdout=log, stderr=log, env=self.env)
        log.close()
        if ready:
            wait_for(self.name + " ready", self.is_ready, seconds)
        return self

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError("%s ended with %d:\n%s" % (self.name, self.process.returncode, self.tail()))
        try:
            with urllib.request.urlopen("http://%s:%d/readyz" % (self.host, self.http), timeout=5) as r:
                return r.status == 200
        except OSError:
            return False

    def checks(self):
        """What /readyz?verbose says, well or not."""
        try:
            with urllib.request.urlopen("http://%s:%d/readyz?verbose" % (self.host, self.http), timeout=5) as r:
                return r.read().decode()
        except urllib.error.HTTPError as e:
            return e.read().decode()

    def said(self, *texts):
        """Whether a line of the log holds all of the texts."""
        with open(self.log, errors="replace") as f:
            return any(all(t in line for t in texts) for line in f)

    def metrics(self):
        with urllib.request.urlopen("http://%s:%d/metrics" % (self.host, self.http), timeout=5) as r:
            return r.read().decode()

    def metric(self, pattern):
        """Sum of the samples whose name and labels match."""
        total = 0.0
        for line in self.metrics().splitlines():
            if re.match(pattern, line):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def connect(self, timeout=60.0):
        return Resp(self.port, timeout, self.host)

    def tail(self, lines=15):
        with open(self.log, errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def kill(self):
        """SIGKILL, as a crash."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self, seconds=30.0):
        """SIGTERM; the exit status."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(seconds)
        return self.process.returncode if self.process else None


class FileStore:
    """A database in a directory."""

    kind = "file"

    def __init__(self, work):
        self.root = os.path.join(work, "store")
        os.makedirs(self.root, exist_ok=True)
        self.url = "file://" + self.root
        self.env = {}

    def list(self):
        """Names and sizes of all objects."""
        found = {}
        for folder, _, files in os.walk(self.root):
            for f in files:
                path = os.path.join(folder, f)
                name = os.path.relpath(path, self.root)
                if name.startswith(".firn-tmp"):
                    continue
                try:
                    found[name] = os.path.getsize(path)
                except FileNotFoundError:
                    pass  # deleted meanwhile
        return found

    def get(self, name):
        with open(os.path.join(self.root, name), "rb") as f:
            return f.read()

    def put(self, name, data):
        """By hand, past all conditions; whole or not at all, as with a store."""
        path = os.path.join(self.root, name)
        with open(path + ".by-hand", "wb") as f:
            f.write(data)
        os.rename(path + ".by-hand", path)

    def delete(self, name):
        os.unlink(os.path.join(self.root, name))

    def close(self):
        pass


class CephStore:
    """A database on a Ceph RADOS gateway that this object starts."""

    kind = "s3"
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ceph-rgw.sh")

    def __init__(self, work, prefix="db", size_bytes=6 << 30):
        for program in ("ceph-mon", "ceph-osd", "radosgw", "curl"):
            if not shutil.which(program):
                skip(program + " is not installed")
        self.dir = os.path.join(work, "ceph")
        env = dict(os.environ, OSD_BYTES=str(size_bytes))
        out = subprocess.run([self.script, "start", self.dir], env=env, check=True, stdout=subprocess.PIPE).stdout
        v = dict(line.split("=", 1) for line in out.decode().splitlines() if "=" in line)
        self.endpoint, self.bucket, self.prefix = v["S3_ENDPOINT"], v["S3_BUCKET"], prefix
        self.access, self.secret = v["S3_ACCESS_KEY"], v["S3_SECRET_KEY"]
        self.url = "s3://%s/%s" % (self.bucket, prefix)
        self.env = {
            "AWS_ACCESS_KEY_ID": self.access,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_REGION": v.get("S3_REGION", "us-east-1"),
        }

    def curl(self, where, *words, data=None):
        """A request for what lies `where` in the bucket, signed by curl: not by the code under test."""
        url = "%s/%s%s" % (self.endpoint, self.bucket, where)
        cmd = ["curl", "-sSf", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user",
               self.access + ":" + self.secret, "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", *words, url]
        return subprocess.run(cmd, check=True, input=data, stdout=subprocess.PIPE).stdout

    def request(self, query):
        """A GET of the bucket."""
        return self.curl("?" + query).decode()

    def get(self, name):
        return self.curl("/%s/%s" % (self.prefix, name))

    def put(self, name, data):
        """By hand, past all conditions."""
        self.curl("/%s/%s" % (self.prefix, name), "-X", "PUT", "--data-binary", "@-", data=data)

    def delete(self, name):
        self.curl("/%s/%s" % (self.prefix, name), "-X", "DELETE")

    def list(self):
        found, after = {}, ""
        while True:
            query = "list-type=2&max-keys=1000&prefix=%s%%2F" % self.prefix
            if after:
                query += "&start-after=" + after.replace("/", "%2F")
            xml = self.request(query)
            page = re.findall(r"<Contents>.*?<Key>(.*?)</Key>.*?<Size>(\d+)</Size>.*?</Contents>", xml, re.S)
            for key, size in page:
                found[key[len(self.prefix) + 1:]] = int(size)
                after = max(after, key)
            if "<IsTruncated>true" not in xml:
                return found

    def close(self):
        subprocess.run([self.script, "stop", self.dir], check=False)


class Proxy:
    """faultproxy before an S3 endpoint; args are its own."""

    def __init__(self, bin_dir, endpoint, *args, listen=None):
        self.url = "http://" + (listen or "127.0.0.1:%d" % free_port())
        self.process = subprocess.Popen([os.path.join(bin_dir, "faultproxy"), "--listen", self.url[len("http://"):], "--to",
                                         endpoint[len("http://"):], *args], stdout=subprocess.PIPE)
        assert b"listening" in self.process.stdout.readline()

    def __enter__(self):
        return self

    def signal(self, signo):
        self.process.send_signal(signo)

    def outage(self):
        """Begin one, or end it."""
        self.signal(signal.SIGUSR1)
        assert b"outage" in self.process.stdout.readline()

    def calm(self):
        """End the faults that args ask for, or begin them again."""
        self.signal(signal.SIGUSR2)
        assert b"calm" in self.process.stdout.readline()

    def counts(self):
        """End it; what it did."""
        self.process.terminate()
        line = self.process.stdout.readline().decode()
        return {what.strip(): int(n) for n, what in re.findall(r"(\d+) ([a-z ]+)", line)}

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Work:
    """A temporary directory with the nodes and the store in it; ends and removes everything."""

    def __init__(self, bin_dir, store="file"):
        self.bin = os.path.abspath(bin_dir)
        for role in ("writer", "reader", "compactor"):
            if not os.access(os.path.join(self.bin, "firn-" + role), os.X_OK):
                skip("firn-%s is not built" % role)
        self.dir = tempfile.mkdtemp(prefix="firn-test-")
        self.nodes = []
        self.store = None
        self.kind = store

    def __enter__(self):
        try:
            self.store = FileStore(self.dir) if self.kind == "file" else CephStore(self.dir)
        except BaseException:
            shutil.rmtree(self.dir, ignore_errors=True)
            raise
        return self

    def node(self, role, name=None, args=()):
        n = Node(self.dir, self.bin, role, self.store.url, name, self.store.env, args)
        self.nodes.append(n)
        return n

    def ctl(self, *words):
        """firnctl: (exit status, stdout, stderr)."""
        p = subprocess.run([os.path.join(self.bin, "firnctl"), "--store", self.store.url, *words],
                           env=dict(os.environ, **self.store.env), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")

    def verified(self):
        """firnctl verify finds no damage: what it says."""
        rc, out, err = self.ctl("verify")
        assert rc == 0, out + err
        return out or err

    def __exit__(self, kind, value, trace):
        if kind and kind is not SystemExit:
            for n in self.nodes:
                if n.process:
                    print("---- %s\n%s" % (n.name, n.tail()))
        for n in self.nodes:
            n.kill()
        self.store.close()
        shutil.rmtree(self.dir, ignore_errors=True)
        return False
