"""The key of all nodes goes bad while they run: removed at the store, and later another one written into the shared
credentials file. Every node stays up and says why it does not serve, in its log and at /readyz; replies are clear; with
the new key all go on by themselves, without a signal; nothing acknowledged is lost.

  bad_credentials.py BIN_DIR"""
import os
import subprocess
import sys
import time

from harness import Work, wait_for
from load import PATIENCE, Load
from recorder import Recorder

ARGS = ("--heartbeat", "1s", "--wal-interval", "5ms", "--manifest-interval", "1s", "--memtable-bytes", "1mb")
NEW_ACCESS, NEW_SECRET = "anotheraccess", "anothersecret"


def say(text):
    print("-- " + text, flush=True)


class KeyFile:
    """A shared credentials file that is replaced while nodes run, whole, as a person or an agent would."""

    def __init__(self, work):
        self.path = os.path.join(work.dir, "credentials")

    def write(self, access, secret):
        with open(os.open(self.path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (access, secret))
        os.rename(self.path + ".new", self.path)


def admin(work, *words):
    """radosgw-admin: what the store's owner does."""
    subprocess.run(["timeout", "90", "radosgw-admin", "-c", os.path.join(work.store.dir, "ceph.conf"), "-n", "client.rgw",
                    *words], check=True, stdout=subprocess.DEVNULL)


def start_all(work, keys):
    """The nodes know no key but that in the file."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        work.store.env[name] = ""
    work.store.env["AWS_SHARED_CREDENTIALS_FILE"] = keys.path
    writer = work.node("writer", "w0", ["--node-id", "w0", *ARGS]).start()
    standby = work.node("writer", "w1", ["--node-id", "w1", "--standby", *ARGS]).start(ready=False)
    reader = work.node("reader", "r0").start()
    compactor = work.node("compactor", "c0", ["--compactor-poll-min", "100ms", "--compactor-poll-max", "1s"]).start()
    wait_for("a standby", lambda: standby.said("standing by"), PATIENCE)
    return writer, standby, reader, compactor


def gone_bad(nodes, load):
    """What is to be seen while the key is bad."""
    for n in nodes:
        wait_for("%s says so in its log" % n.name, lambda n=n: n.said("store failing", " 403 "), PATIENCE)
        wait_for("%s says so at /readyz" % n.name, lambda n=n: " 403 " in n.checks(), PATIENCE)
        wait_for("%s is not ready" % n.name, lambda n=n: not n.is_ready(), PATIENCE)
    wait_for("writes are refused", lambda: load.heard("KVBUSY", load.writers) > 5, PATIENCE)
    wait_for("fresh reads are refused", lambda: load.heard("KVSTALE", load.fresh) > 2, PATIENCE)
    load.progress(load.lax, "reads that may be old")
    for n in nodes:
        assert n.process.poll() is None, "%s ended\n%s" % (n.name, n.tail())


def well_again(nodes, standby):
    for n in nodes:
        assert n.process.poll() is None, "%s ended\n%s" % (n.name, n.tail())
        if n is not standby:
            wait_for("%s is ready again" % n.name, n.is_ready, PATIENCE)
        wait_for("%s is well again" % n.name, lambda n=n: "store: ok" in n.checks(), PATIENCE)
        with open(n.log) as f:
            assert NEW_SECRET not in f.read(), "the secret key was logged"


def main():
    with Work(sys.argv[1], "s3") as work:
        keys = KeyFile(work)
        keys.write(work.store.access, work.store.secret)
        nodes = start_all(work, keys)
        writer, standby, reader, _ = nodes
        load = Load([writer, standby], [reader])
        recorder = Recorder(work, [writer, standby, reader], pause=0.05).start()
        load.progress()
        say("the key is removed")
        admin(work, "key", "rm", "--uid", "tester", "--access-key", work.store.access)
        gone_bad(nodes, load)
        say("a new key, in the same file")
        admin(work, "key", "create", "--uid", "tester", "--access-key", NEW_ACCESS, "--secret-key", NEW_SECRET)
        began = time.monotonic()
        keys.write(NEW_ACCESS, NEW_SECRET)
        load.progress()
        print("   everybody goes on after %.1f s" % (time.monotonic() - began))
        well_again(nodes, standby)
        recorder.check([writer, reader])
        load.stop()
        load.tell()
        for n in (writer, reader):
            load.all_there(n)
        assert writer.stop() == 0
        wait_for("the standby takes over", standby.is_ready, PATIENCE)
        load.all_there(standby)
        work.verified()
    print("ok")


if __name__ == "__main__":
    main()
