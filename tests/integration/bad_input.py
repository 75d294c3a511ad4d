"""Wrong words, damaged stores, clients out of bounds, two writers: one clear line that names what is wrong, and no
crash.

  bad_input.py BIN_DIR"""
import glob
import os
import shutil
import socket
import subprocess
import sys
import time

from harness import Error, Node, Resp, Work, wait_for

PROGRAMS = ("firn-writer", "firn-reader", "firn-compactor", "firnctl")
FENCED = 75
# --idle-flush as long as it may be: nothing is flushed behind the test's back.
ARGS = ("--wal-interval", "2ms", "--manifest-interval", "100ms", "--idle-flush", "1h")


def say(text):
    print("-- " + text, flush=True)


def complaints(text):
    """Lines of stderr that are not of the log."""
    return [line for line in text.splitlines() if line and not line.startswith("ts=")]


def run(work, program, *words, store=None, timeout=60):
    """A program that must end by itself: (exit status, its complaints)."""
    args = [os.path.join(work.bin, program)]
    if store:
        args += ["--store", store]
    if program in ("firn-writer", "firn-reader"):
        args += ["--port", "0"]
    if program != "firnctl":
        args += ["--http-port", "0"]
    args += words
    if program == "firnctl":
        args.append("verify")
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    return p.returncode, complaints(p.stderr.decode(errors="replace"))


def expect(work, program, status, *texts, words=(), store=None):
    rc, lines = run(work, program, *words, store=store)
    what = "%s %s --store %s: exit status %d, said %r" % (program, " ".join(words), store, rc, lines)
    assert rc == status, "wanted exit status %s; %s" % (status, what)
    assert len(lines) == 1, "wanted one line; " + what
    for t in texts:
        assert t in lines[0], "wanted \"%s\"; %s" % (t, what)


# ---- words


def settings(work):
    say("settings")
    for p in PROGRAMS:
        expect(work, p, 2, "store", words=())
        expect(work, p, 2, "http://example.com/db", "s3://", store="http://example.com/db")
        expect(work, p, 2, "file://relative", store="file://relative")
        expect(work, p, 2, "frobnicate", words=("--frobnicate", "yes"), store=work.store.url)
        expect(work, p, 2, "attempt-timeout", "soon", words=("--attempt-timeout", "soon"), store=work.store.url)
        expect(work, p, 2, "log-level", "loud", words=("--log-level", "loud"), store=work.store.url)
    config = os.path.join(work.dir, "firn.conf")
    with open(config, "w") as f:
        f.write("# settings\nwal-interval 5ms\nwal-intervall 5ms\n")
    expect(work, "firn-writer", 2, config + ":3", "wal-intervall", words=("--config", config), store=work.store.url)
    expect(work, "firn-writer", 2, "no-such-file", words=("--config", work.dir + "/no-such-file"),
           store=work.store.url)


def directories(work):
    say("directories")
    missing = work.dir + "/no/such/directory"
    not_dir = work.dir + "/a-file"
    with open(not_dir, "w") as f:
        f.write("x")
    locked = work.dir + "/locked"
    os.mkdir(locked, 0)
    for p in PROGRAMS:
        expect(work, p, 1, missing, store="file://" + missing)
        expect(work, p, 1, not_dir, store="file://" + not_dir)
        if os.geteuid() != 0:
            expect(work, p, 1, locked, store="file://" + locked)
    assert not os.path.exists(work.dir + "/no"), "a directory was made for a store that is not there"
    os.chmod(locked, 0o700)
    os.rmdir(locked)
    # Where no database is, those that only read make none.
    empty = work.dir + "/empty"
    os.mkdir(empty)
    rc, out, _ = ctl_at(work, empty, "verify")
    assert rc == 1 and "there is no database here" in out, out
    rc, _, err = ctl_at(work, empty, "manifest", "show")
    assert rc == 1 and "there is no database at" in err, err
    expect(work, "firnctl", 2, "frob", words=("frob",), store="file://" + empty)


def ctl_at(work, root, *words):
    p = subprocess.run([os.path.join(work.bin, "firnctl"), "--store", "file://" + root, *words],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")


# ---- damage


def make_database(work):
    """One table, and a few batches behind it that only the log has."""
    w = work.node("writer", "maker", ARGS).start()
    c = w.connect()
    for i in range(2000):
        c.send(Resp.encode("SET", "key:%d" % i, "value of %d" % i))
    for _ in range(2000):
        assert c.reply() == b"OK"
    c.close()
    assert w.stop() == 0
    w.start()
    c = w.connect()
    for i in range(20):
        c.do("SET", "late:%d" % i, "v" * 100)
    c.close()
    w.kill()
    rc, out, _ = work.ctl("verify")
    assert rc == 0 and " 1 tables " in out.splitlines()[-1], out


def one(root, pattern):
    found = sorted(glob.glob(os.path.join(root, pattern)))
    assert found, "no " + pattern
    return found[len(found) // 2]


def last_epoch_slot(root):
    epoch = sorted(glob.glob(os.path.join(root, "wal/*/*")))[-1]
    slots = sorted(f for f in glob.glob(epoch + "/*") if os.path.getsize(f) > 136)
    return slots[len(slots) // 2]


def flip(at):
    def do(path):
        with open(path, "r+b") as f:
            f.seek(at if at >= 0 else os.path.getsize(path) + at)
            byte = f.read(1)
            f.seek(-1, 1)
            f.write(bytes([byte[0] ^ 4]))
    return do


def cut(size):
    def do(path):
        os.truncate(path, size)
    return do


def damaged_copy(work, find, damage):
    root = os.path.join(work.dir, "damaged")
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(work.store.root, root)
    path = find(root)
    os.chmod(path, 0o600)
    damage(path)
    return root, os.path.relpath(path, root)


def refuses(work, root, role, name):
    rc, lines = run(work, "firn-" + role, *(ARGS if role == "writer" else ()), store="file://" + root)
    assert rc == 1, "%s with a damaged %s: exit status %d, %r" % (role, name, rc, lines)
    assert len(lines) == 1 and name in lines[0], "%s with a damaged %s said %r" % (role, name, lines)


def verify_names(work, root, name):
    rc, out, err = ctl_at(work, root, "verify")
    assert rc == 1 and ("error: " + name) in out, "verify with a damaged %s: %d\n%s%s" % (name, rc, out, err)
    assert out.splitlines()[-1].startswith("verify: ") and out.splitlines()[-1].endswith(" errors"), out


def damage(work):
    say("a damaged manifest")
    for how in (cut(0), cut(20), cut(100), flip(3), flip(40), flip(-1)):
        root, name = damaged_copy(work, lambda r: r + "/manifest", how)
        verify_names(work, root, name)
        refuses(work, root, "writer", name)
        refuses(work, root, "reader", name)
    say("a damaged batch")
    for how in (cut(0), cut(60), cut(150), flip(0), flip(50), flip(-1)):
        root, name = damaged_copy(work, last_epoch_slot, how)
        verify_names(work, root, name)
        refuses(work, root, "writer", name)
    say("a damaged table")
    for how in (cut(0), cut(1000), flip(10), flip(500), flip(-60), flip(-2)):
        root, name = damaged_copy(work, lambda r: one(r, "sst/*/w*"), how)
        verify_names(work, root, name)
    say("readers and writers over a damaged table answer errors, and go on")
    for how in (cut(1000), flip(500), os.remove):
        for role in ("writer", "reader"):
            root, name = damaged_copy(work, lambda r: one(r, "sst/*/w*"), how)
            serve_damaged(work, root, role, name)


def serve_damaged(work, root, role, name):
    n = Node(work.dir, work.bin, role, "file://" + root, "damaged-" + role, None, ARGS if role == "writer" else ())
    work.nodes.append(n)
    n.start(ready=False)
    c = None
    end = time.monotonic() + 30
    while c is None:
        assert time.monotonic() < end, "the %s does not listen\n%s" % (role, n.tail())
        try:
            c = Resp(n.port)
        except OSError:
            if n.process.poll() is not None:
                raise AssertionError("the %s ended\n%s" % (role, n.tail()))
            time.sleep(0.02)
    answers = [c.ask("GET", "key:%d" % i) for i in range(0, 2000, 100)]
    errors = [a for a in answers if isinstance(a, Error)]
    wrong = [a for i, a in enumerate(answers) if not isinstance(a, Error) and a != b"value of %d" % (i * 100)]
    assert errors and not wrong, "a %s over a damaged %s answered %r" % (role, name, answers)
    assert c.do("PING") == b"PONG" and n.process.poll() is None
    c.close()
    n.kill()


# ---- clients


def limits(work, w):
    say("keys and values over the limit")
    c = w.connect()
    big, longest = b"k" * 65536, b"k" * 65535
    assert isinstance(c.ask("SET", big, "v"), Error)
    assert isinstance(c.ask("INCR", big), Error)
    assert c.do("SET", longest, "v") == b"OK" and c.do("GET", longest) == b"v"
    assert isinstance(c.ask("SET", "v", b"x" * (8 * 1024 * 1024 + 1)), Error)
    assert c.do("SET", "v", b"x" * (8 * 1024 * 1024)) == b"OK"
    assert isinstance(c.ask("APPEND", "v", "y"), Error)
    assert isinstance(c.ask("SETRANGE", "s", 8 * 1024 * 1024, "y"), Error)
    assert c.do("STRLEN", "v") == 8 * 1024 * 1024
    assert c.do("DEL", "v", longest) == 2
    c.close()


MALFORMED = (b"*1\r\n$-5\r\nPING\r\n", b"*-10\r\n", b"*99999999999\r\n", b"*1\r\n:1\r\n", b"*1\r\n$4\r\nPINGxx",
             b"*2\r\n$3\r\nGET\r\n$999999999999\r\n", b"*1\r\n$abc\r\n", b"*x\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
             b"POST / HTTP/1.1\r\n\r\n", b"\"unbalanced\r\n", b"\x00\xff\x00\xff\r\n", b"*1\r\n", b"$4\r\nPING\r\n",
             b"\r\n" * 1000, b"x" * 100000 + b"\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab")


def malformed(work, w):
    say("malformed RESP")
    for data in MALFORMED:
        with socket.create_connection(("127.0.0.1", w.port), 10) as s:
            s.settimeout(10)
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            got = b""
            try:
                while len(got) < 1 << 20:
                    piece = s.recv(65536)
                    if not piece:
                        break
                    got += piece
            except ConnectionResetError:
                pass
            except socket.timeout:
                raise AssertionError("no end of the connection after %r" % data[:40])
            assert got == b"" or got[:1] in b"-+$:", "%r was answered %r" % (data[:40], got[:80])
        c = w.connect()
        assert c.do("PING") == b"PONG", "after %r" % data[:40]
        c.close()
    c = w.connect()
    for words in (("FROB",), ("GET",), ("SET", "k"), ("INCR", "a", "b"), ("EXPIRE", "k", "soon"), ("MSET", "k")):
        assert isinstance(c.ask(*words), Error), words
    c.do("SET", "text", "abc")
    for words in (("INCR", "text"), ("EXPIRE", "text", "9" * 30), ("SETRANGE", "text", "-1", "x"), ("GETBIT", "k", "-1")):
        assert isinstance(c.ask(*words), Error), words
    assert c.do("GET", "text") == b"abc"
    c.close()


def taken_port(work, w):
    say("a port that is taken")
    rc, lines = run(work, "firn-reader", "--port", str(w.port), store=work.store.url)
    assert rc == 1 and len(lines) == 1 and str(w.port) in lines[0], (rc, lines)


def two_writers(work):
    say("two writers: the older one ends with %d" % FENCED)
    a = work.node("writer", "older", ARGS).start()
    ca = a.connect()
    assert ca.do("SET", "who", "older") == b"OK"
    b = work.node("writer", "newer", ARGS).start()
    cb = b.connect()
    assert cb.do("GET", "who") == b"older"
    assert cb.do("SET", "who", "newer") == b"OK"
    try:
        answer = ca.ask("SET", "who", "older again")
        assert isinstance(answer, Error), "a fenced writer acknowledged a write: %r" % answer
    except ConnectionError:
        pass
    wait_for("the older writer to end", lambda: a.process.poll() is not None)
    with open(a.log, errors="replace") as f:
        lines = complaints(f.read())
    assert a.process.returncode == FENCED, "exit status %d, said %r" % (a.process.returncode, lines)
    assert len(lines) == 1 and ("newer" in lines[0] or "epoch" in lines[0]), "it said %r" % lines
    assert cb.do("GET", "who") == b"newer"
    ca.close()
    cb.close()
    assert b.stop() == 0
    rc, out, _ = work.ctl("verify")
    assert rc == 0, out


def main():
    with Work(sys.argv[1]) as work:
        settings(work)
        directories(work)
        make_database(work)
        damage(work)
        w = work.node("writer", args=ARGS).start()
        limits(work, w)
        malformed(work, w)
        taken_port(work, w)
        assert w.stop() == 0
        two_writers(work)
    print("ok")


if __name__ == "__main__":
    main()
