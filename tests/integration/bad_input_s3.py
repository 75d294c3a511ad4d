"""What can be wrong with an S3 store: keys, rights, buckets, endpoints, look-alikes, a damaged manifest. Each ends in one
clear line that names it, never in a crash, with nothing written and nothing lost.

  bad_input_s3.py BIN_DIR"""
import concurrent.futures
import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import urllib.parse

from harness import Error, Node, Proxy, Work, flip, free_port, wait_for

SERVERS = ("firn-writer", "firn-compactor")
PROGRAMS = SERVERS + ("firn-reader", "firnctl")
ARGS = ("--wal-interval", "2ms", "--manifest-interval", "100ms", "--idle-flush", "1h")
KEYS = 300


def say(text):
    print("-- " + text, flush=True)


# ---- programs that must end by themselves


def clean_env(work, **more):
    """An environment without a trace of AWS."""
    env = {"PATH": os.environ["PATH"], "HOME": os.path.join(work.dir, "nobody"), "AWS_EC2_METADATA_DISABLED": "true"}
    env.update(more)
    return env


def keys_env(work, **more):
    return clean_env(work, **dict(work.store.env, **more))


def command(work, program, store):
    words = [os.path.join(work.bin, program), "--store", store]
    if program in ("firn-writer", "firn-reader"):
        words += ["--port", "0"]
    return words + (["manifest", "show"] if program == "firnctl" else ["--http-port", "0"])


def run(work, program, env, store):
    """(exit status, lines of stderr that are not of the log, all of it)."""
    p = subprocess.run(command(work, program, store), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       timeout=55)
    text = (p.stdout + p.stderr).decode(errors="replace")
    return p.returncode, [line for line in text.splitlines() if line and not line.startswith("ts=")], text


def expect(work, programs, texts, env, store=None):
    """Each of the programs ends with status 1 and one line that holds all of the texts."""
    for program in programs:
        rc, lines, text = run(work, program, env, store or work.store.url)
        what = "%s: exit status %d, said %r\n%s" % (program, rc, lines, text)
        assert rc == 1, "wanted exit status 1; " + what
        assert len(lines) == 1, "wanted one line; " + what
        for t in texts:
            assert t in lines[0], "wanted \"%s\"; %s" % (t, what)
        assert work.store.secret not in text, "the secret key was printed; " + what


# ---- the bucket, by curl


def objects(work):
    """Every object of the bucket but those under probe/: name and what it holds."""
    xml = work.store.request("list-type=2&max-keys=1000")
    assert "<IsTruncated>true" not in xml
    found = re.findall(r"<Contents>.*?<Key>(.*?)</Key>.*?<ETag>(.*?)</ETag>.*?</Contents>", xml, re.S)
    return sorted(f for f in found if "/probe/" not in f[0])


def make_database(work):
    w = work.node("writer", "maker", ARGS).start()
    c = w.connect()
    for i in range(KEYS):
        c.do("SET", "key:%d" % i, "value of %d" % i)
    c.close()
    assert w.stop() == 0
    work.verified()
    return objects(work)


def all_there(c):
    return all(c.do("GET", "key:%d" % i) == b"value of %d" % i for i in range(KEYS))


# ---- keys


def credentials(work):
    say("wrong, missing, exposed credentials")
    wrong = "nobodys-access-key"
    expect(work, PROGRAMS, ("InvalidAccessKeyId", "access key or its secret is wrong"),
           keys_env(work, AWS_ACCESS_KEY_ID=wrong))
    expect(work, PROGRAMS, ("SignatureDoesNotMatch", "access key or its secret is wrong"),
           keys_env(work, AWS_SECRET_ACCESS_KEY="not" + work.store.secret[3:]))
    endpoint = {"AWS_ENDPOINT_URL_S3": work.store.endpoint}
    expect(work, PROGRAMS, ("no credentials", "AWS_EC2_METADATA_DISABLED"), clean_env(work, **endpoint))
    nobody = "http://127.0.0.1:%d" % free_port()
    expect(work, PROGRAMS, ("no credentials", nobody),
           clean_env(work, AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=nobody, **endpoint))
    expect(work, PROGRAMS, ("only one of AWS_ACCESS_KEY_ID",),
           clean_env(work, AWS_ACCESS_KEY_ID=work.store.access, **endpoint))

    home = os.path.join(work.dir, "home")
    os.makedirs(home + "/.aws")
    path = home + "/.aws/credentials"
    with open(path, "w") as f:
        f.write("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (work.store.access,
                                                                                     work.store.secret))
    for mode in (0o644, 0o640, 0o602):
        os.chmod(path, mode)
        expect(work, PROGRAMS, (path, "chmod 600"), clean_env(work, HOME=home, **endpoint))
    os.chmod(path, 0o600)
    rc, lines, _ = run(work, "firnctl", clean_env(work, HOME=home, **endpoint), work.store.url)
    assert rc == 0, lines


# ---- buckets and endpoints


def places(work):
    say("a bucket that is not there")
    expect(work, PROGRAMS, ("no bucket \"missing\"", work.store.endpoint), keys_env(work), "s3://missing/db")


def unreachable(work, pool):
    """An endpoint where nobody listens, and a web server: tried for half a minute, in the background."""
    say("an endpoint where nobody listens, one that is no S3")
    port = free_port()
    env = keys_env(work, AWS_ENDPOINT_URL_S3="http://127.0.0.1:%d" % port)
    jobs = [pool.submit(expect, work, (p,), ("cannot reach http://127.0.0.1:%d" % port,), env)
            for p in ("firn-writer", "firnctl")]
    web = serve(NoStore)
    env = keys_env(work, AWS_ENDPOINT_URL_S3=web.url)
    return web, jobs + [pool.submit(expect, work, ("firn-writer",), ("404", "is the endpoint right?"), env)]


# ---- things that look like S3


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code):
        self.answer(status, ("<Error><Code>%s</Code><Message>by the look-alike</Message></Error>" % code).encode())

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class Yes(Handler):
    """200 to everything."""

    def do(self):
        self.body()
        self.answer(200, b"<html>yes</html>", ETag="\"yes\"")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do


class NoStore(Handler):
    """A web server that has no page of that name."""

    def do(self):
        self.body()
        self.answer(404, b"<html>not found</html>")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do


class LookAlike(Handler):
    """S3 in memory, in so far as Firn asks, but for what is wrong with the server."""

    def key(self):
        return urllib.parse.unquote(self.path.partition("?")[0]).lstrip("/").partition("/")[2]

    def query(self):
        return dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))

    def met(self, held):
        """Whether the conditions of a PUT over `held` are met."""
        none, match = self.headers.get("If-None-Match"), self.headers.get("If-Match")
        if none and "If-None-Match" not in self.server.ignores and held is not None:
            return False
        return not match or "If-Match" in self.server.ignores or (held is not None and tag(held) == match)

    def do_PUT(self):
        data = self.body()
        if self.server.read_only:
            self.error(403, "AccessDenied")
            return
        with self.server.lock:
            met = self.met(self.server.objects.get(self.key()))
            if met:
                self.server.objects[self.key()] = data
        if met:
            self.answer(200, ETag=tag(data))
        else:
            self.error(412, "PreconditionFailed")

    def do_GET(self):
        if "list-type" in self.query():
            self.list()
            return
        data = self.server.objects.get(self.key())
        if data is None and self.server.hides:
            self.error(403, "AccessDenied")
        elif data is None:
            self.error(404, "NoSuchKey")
        elif self.headers.get("If-None-Match") == tag(data):
            self.answer(304, ETag=tag(data))
        elif self.headers.get("Range"):
            first, last = (int(n) for n in self.headers["Range"][6:].split("-"))
            part = data[first:last + 1]
            self.answer(206, part, ETag=tag(data),
                        Content_Range="bytes %d-%d/%d" % (first, first + len(part) - 1, len(data)))
        else:
            self.answer(200, data, ETag=tag(data))

    do_HEAD = do_GET

    def list(self):
        q = self.query()
        with self.server.lock:
            found = sorted(k for k in self.server.objects if k.startswith(q.get("prefix", "")))
        rows = "".join("<Contents><Key>%s</Key><Size>%d</Size></Contents>" % (k, len(self.server.objects[k]))
                       for k in found if k > q.get("start-after", ""))
        self.answer(200, ("<ListBucketResult>%s<IsTruncated>false</IsTruncated></ListBucketResult>" % rows).encode())

    def do_DELETE(self):
        with self.server.lock:
            self.server.objects.pop(self.key(), None)
        self.answer(204)

    def do_POST(self):
        names = re.findall(r"<Key>(.*?)</Key>", self.body().decode())
        with self.server.lock:
            for k in names:
                self.server.objects.pop(k, None)
        self.answer(200, b"<DeleteResult></DeleteResult>")


def tag(data):
    return "\"%s\"" % hashlib.md5(data).hexdigest()


def serve(handler, ignores=(), hides=False, read_only=False):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.url = "http://127.0.0.1:%d" % server.server_address[1]
    server.objects, server.lock = {}, threading.Lock()
    server.ignores, server.hides, server.read_only = ignores, hides, read_only
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def refused(work, programs, texts, server):
    expect(work, programs, texts, keys_env(work, AWS_ENDPOINT_URL_S3=server.url))
    left = [k for k in server.objects if not k.startswith("db/probe/")]
    assert not left, "written to a store that was refused: %r" % left
    server.shutdown()
    server.server_close()


def look_alikes(work):
    say("what answers 200 to everything")
    refused(work, SERVERS, ("never used", "cannot keep data safe"), serve(Yes))
    refused(work, ("firn-reader", "firnctl"), ("manifest",), serve(Yes))
    say("a store that ignores conditions")
    refused(work, SERVERS, ("ignores If-None-Match", "cannot keep data safe"),
            serve(LookAlike, ("If-None-Match", "If-Match")))
    refused(work, SERVERS, ("ignores If-Match", "cannot keep data safe"), serve(LookAlike, ("If-Match",)))
    say("a store that forbids writing")
    refused(work, SERVERS, ("403 AccessDenied", "s3:PutObject"), serve(LookAlike, read_only=True))
    say("a store that says 403 for what is missing")
    refused(work, PROGRAMS, ("403 AccessDenied", "s3:ListBucket"), serve(LookAlike, hides=True))


def node_at(work, url, role, name):
    """A node that is told of another endpoint."""
    n = Node(work.dir, work.bin, role, work.store.url, name, keys_env(work, AWS_ENDPOINT_URL_S3=url),
             ARGS if role == "writer" else ())
    work.nodes.append(n)
    return n


def right_taken(work):
    """The store begins to say 403 for what is missing, and so for the slot behind the end of the log: no node may
    believe that this is the end, and no writer may push another out before it has noticed."""
    say("a right that is taken away, and given back")
    server = serve(LookAlike)
    w = node_at(work, server.url, "writer", "right-writer").start()
    c = w.connect()
    assert c.do("SET", "k", "v") == b"OK"
    server.hides = True
    manifest = server.objects["db/manifest"]
    expect(work, SERVERS, ("missing", "403 AccessDenied", "s3:ListBucket"),
           keys_env(work, AWS_ENDPOINT_URL_S3=server.url))
    assert server.objects["db/manifest"] == manifest, "claimed by a writer that cannot serve"
    r = node_at(work, server.url, "reader", "right-reader").start()
    cr = r.connect()
    cr.do("KV.FRESHNESS", "0")
    got = cr.ask("GET", "k")
    assert isinstance(got, Error) and str(got).startswith("KVSTALE"), "a reader believed a 403: %r" % got
    assert r.said("403 AccessDenied", "s3:ListBucket"), r.tail()
    wait_for("the reader to be unready", lambda: not r.is_ready())
    assert "403 AccessDenied" in cr.info()["firn_store"], cr.info()
    server.hides = False
    wait_for("the reader serves again", lambda: cr.ask("GET", "k") == b"v")
    assert r.is_ready() and cr.info()["firn_store"] == "ok", cr.info()
    assert c.do("SET", "k", "w") == b"OK" and cr.do("GET", "k") == b"w"
    for connection in (c, cr):
        connection.close()
    assert w.stop() == 0 and r.stop() == 0
    server.shutdown()
    server.server_close()


# ---- a damaged manifest


def damaged_manifest(work):
    say("a damaged manifest")
    good = work.store.get("manifest")
    for bad in (b"", good[:20], good[:-1], flip(good, 3), flip(good, len(good) // 2), flip(good, len(good) - 1)):
        work.store.put("manifest", bad)
        expect(work, PROGRAMS, ("manifest",), keys_env(work))
        rc, out, err = work.ctl("verify")
        assert rc == 1 and "error: manifest" in out, out + err
        assert work.store.get("manifest") == bad, "a damaged manifest was written over"
    work.store.put("manifest", good)


# ---- a proxy before the store


def read_only(work):
    say("rights to read alone: readers serve")
    with Proxy(work.bin, work.store.endpoint, "--deny", "PUT") as proxy:
        env = keys_env(work, AWS_ENDPOINT_URL_S3=proxy.url)
        expect(work, SERVERS, ("403 AccessDenied", "s3:PutObject"), env)
        rc, _, text = run(work, "firnctl", env, work.store.url)
        assert rc == 0, text
        r = node_at(work, proxy.url, "reader", "read-only").start()
        c = r.connect()
        assert all_there(c)
        c.close()
        assert r.stop() == 0


def waiting(work):
    say("a reader waits for a database, and for a store")
    r = node_at(work, work.store.endpoint, "reader", "early")
    r.words[r.words.index(work.store.url)] = "s3://%s/later" % work.store.bucket
    r.start(ready=False)
    wait_for("it says so twice", lambda: open(r.log).read().count("no database yet") >= 2)
    assert r.process.poll() is None and r.stop() == 0
    with Proxy(work.bin, work.store.endpoint) as proxy:
        proxy.outage()
        r = node_at(work, proxy.url, "reader", "patient").start(ready=False)
        wait_for("it says so", lambda: r.said("the store does not answer", "why=", proxy.url))
        assert r.process.poll() is None
        proxy.outage()
        wait_for("it serves", r.is_ready)
        c = r.connect()
        assert all_there(c)
        c.close()
        assert r.stop() == 0


def main():
    with Work(sys.argv[1], "s3") as work, concurrent.futures.ThreadPoolExecutor(8) as pool:
        before = make_database(work)
        web, jobs = unreachable(work, pool)
        for step in (credentials, places, look_alikes, right_taken, damaged_manifest, read_only, waiting):
            step(work)
        assert objects(work) == before, "something was written, or is gone"
        for job in jobs:
            job.result()
        web.shutdown()
    print("ok")


if __name__ == "__main__":
    main()
