"""Somebody deletes or damages live objects by hand: tables of L1 and L0, a slot of the log. firnctl verify names each;
reads of what lay in it answer -KVCORRUPT, everything else is served, also writes over it; the compactor drops nothing
that it cannot read, and no deletion above it; logs say so. With the object back everything is as it was, deletions too,
and no node had to be restarted.

  deleted_object.py BIN_DIR [file|s3]"""
import json
import os
import re
import sys

from harness import Error, Work, flip, wait_for

KEYS = 2000
ARGS = ("--wal-interval", "2ms", "--manifest-interval", "100ms", "--idle-flush", "100ms", "--table-bytes", "64kb")
COMPACTOR = ("--compactor-poll-min", "100ms", "--compactor-poll-max", "500ms", "--table-bytes", "64kb",
             "--slice-bytes-min", "1", "--table-grace", "1s", "--pin-ttl", "2s")
PATIENCE = 120.0


def say(text):
    print("-- " + text, flush=True)


def key(i):
    return "key:%04d" % i


class Database:
    """What was written, and by whom."""

    def __init__(self, work):
        self.work = work
        self.values = {}
        self.writer = work.node("writer", args=ARGS).start()
        self.conn = self.writer.connect()
        self.compactor = None

    def write(self, numbers):
        numbers = list(numbers)
        for i in numbers:
            self.values[i] = os.urandom(60).hex().encode()
        for at in range(0, len(numbers), 100):
            words = [w for i in numbers[at:at + 100] for w in (key(i), self.values[i])]
            assert self.conn.do("MSET", *words) == b"OK"
        self.flush()

    def drop(self, numbers):
        for i in numbers:
            del self.values[i]
        assert self.conn.do("UNLINK", *[key(i) for i in numbers]) == len(numbers)
        self.flush()

    def flush(self):
        wait_for("a flush", lambda: int(self.conn.info()["firn_unflushed_slots"]) == 0, PATIENCE)

    def manifest(self):
        rc, out, err = self.work.ctl("manifest", "show", "--json")
        assert rc == 0, err
        return json.loads(out)

    def compact(self):
        """Until L0 is empty."""
        if not self.compactor:
            self.compactor = self.work.node("compactor", args=COMPACTOR + ("--l0-compact-tables", "1")).start()
        wait_for("an empty L0", lambda: not self.manifest()["l0"], PATIENCE)

    def pause_compactor(self):
        assert self.compactor.stop() == 0
        self.compactor = None


def range_of(table):
    """Numbers of the keys that the table may hold."""
    first, last = (int(re.search(r"key:(\d+)", table[side]).group(1)) for side in ("lower", "upper"))
    return range(first, last + 1)


def tables_of(m):
    return [t for p in m["partitions"] for run in p["runs"] for t in run]


def look(conn, numbers, values, lost):
    """Every key: right, or -KVCORRUPT where it may be. Returns how many were."""
    corrupt = 0
    for i in numbers:
        got = conn.ask("GET", key(i))
        if isinstance(got, Error):
            assert str(got).startswith("KVCORRUPT"), got
            assert i in lost, "%s is not in the object that is gone: %s" % (key(i), got)
            corrupt += 1
        else:
            assert got == values.get(i), "%s is %r" % (key(i), got)
    return corrupt


def verify(work, *texts):
    """Damage is found, and named by all of the texts; without any, there is none."""
    rc, out, err = work.ctl("verify")
    assert (rc == 0) == (not texts), "exit status %d\n%s%s" % (rc, out, err)
    for t in texts:
        assert t in out + err, "verify does not say \"%s\"\n%s%s" % (t, out, err)
    return out + err


def cold_reader(work, name):
    """One that has cached nothing."""
    r = work.node("reader", name).start()
    c = r.connect()
    c.do("KV.FRESHNESS", "0")
    return r, c


def meets(db, name, lost):
    """Write over all else, until the new run of L1 is worth merging with what lies below it, which fails and is said."""
    db.write([i for i in range(KEYS) if i not in lost])
    wait_for("it names the object", lambda: db.compactor.said("compaction failed", name.rsplit("/")[-1]), PATIENCE)


def l1_table(db, what, damage):
    """A table in the middle of L1 is gone or changed, with deletions above it in L0."""
    say("a table of L1 is %s" % what)
    work, store = db.work, db.work.store
    db.compact()
    db.pause_compactor()
    tables = tables_of(db.manifest())
    assert len(tables) >= 4, "L1 has %d tables" % len(tables)
    victim = tables[len(tables) // 2]
    name, lost = victim["name"], range_of(victim)
    good = store.get(name)
    db.drop([i for i in lost if i in db.values][:20])  # tombstones in L0, above what is lost
    db.write([i for i in lost][-20:])  # values, too
    damage(name, good)
    verify(work, name)
    reader, r = cold_reader(work, "cold-" + what)
    for conn in (r, db.conn):
        corrupt = look(conn, range(KEYS), db.values, lost)
        print("   %d of %d reads are refused" % (corrupt, KEYS))
    assert 0 < look(r, lost, db.values, lost), "no read of what is lost was refused"
    got = r.ask("KV.RANGE", key(lost[0]), key(lost[-1]), "LIMIT", KEYS)
    assert isinstance(got, Error) and str(got).startswith("KVCORRUPT"), "a scan over what is lost: %.80r" % got
    assert db.conn.do("SET", key(lost[40]), "anew") == b"OK"
    db.values[lost[40]] = b"anew"
    assert r.do("GET", key(lost[40])) == b"anew", "what is written over it is not served"
    db.flush()
    say("   the compactor meets it")
    db.compactor = work.node("compactor", "compactor-" + what, args=COMPACTOR + ("--l0-compact-tables", "1")).start()
    meets(db, name, lost)
    assert db.compactor.process.poll() is None, db.compactor.tail()
    assert name in [t["name"] for t in tables_of(db.manifest())], "the compactor dropped what it could not read"
    look(r, range(KEYS), db.values, lost)
    say("   it is put back")
    store.put(name, good)
    for conn in (r, db.conn):
        wait_for("all is served again", lambda c=conn: look(c, lost, db.values, lost) == 0, PATIENCE)
        assert look(conn, range(KEYS), db.values, ()) == 0
    wait_for("it is merged", lambda: not db.manifest()["l0"] and name not in [t["name"] for t in tables_of(db.manifest())],
             PATIENCE)
    assert look(r, range(KEYS), db.values, ()) == 0 and look(db.conn, range(KEYS), db.values, ()) == 0
    verify(work)
    r.close()
    assert reader.stop() == 0


def l0_table(db):
    say("a table of L0 is deleted")
    work, store = db.work, db.work.store
    if db.compactor:
        db.pause_compactor()
    db.write(range(100, 200))
    victim = db.manifest()["l0"][0]
    name, lost = victim["name"], range_of(victim)
    good = store.get(name)
    store.delete(name)
    verify(work, name + ": missing")
    reader, r = cold_reader(work, "cold-l0")
    assert look(r, range(KEYS), db.values, lost) == len(lost)
    db.compactor = work.node("compactor", "compactor-l0", args=COMPACTOR + ("--l0-compact-tables", "1")).start()
    wait_for("the compactor names it", lambda: db.compactor.said("compaction failed", name.rsplit("/")[-1]), PATIENCE)
    assert name in [t["name"] for t in db.manifest()["l0"]]
    store.put(name, good)
    wait_for("all is served again", lambda: look(r, lost, db.values, lost) == 0, PATIENCE)
    wait_for("compaction goes on", lambda: not db.manifest()["l0"], PATIENCE)
    assert look(r, range(KEYS), db.values, ()) == 0
    verify(work)
    r.close()
    assert reader.stop() == 0


def write_slots(db, text):
    """A value per slot, which stay in the log; the slots' names."""
    before = set(n for n in db.work.store.list() if n.startswith("wal/"))
    for i in range(20):
        db.values[i] = b"%s %d" % (text, i)
        assert db.conn.do("SET", key(i), db.values[i]) == b"OK"
    slots = sorted(set(n for n in db.work.store.list() if n.startswith("wal/")) - before)
    assert len(slots) >= 20, slots
    return slots


def slot_deleted(db):
    """verify tells of the hole. The writer has what lay in it in memory and flushes it; then nobody misses it."""
    say("a slot of the log is deleted")
    work = db.work
    assert db.conn.do("CONFIG", "SET", "idle-flush", "1h") == b"OK"
    victim = write_slots(db, b"in the log")[10]
    work.store.delete(victim)
    _, out, err = work.ctl("verify")
    assert victim in out + err and "behind it" in out + err, out + err
    assert look(db.conn, range(KEYS), db.values, ()) == 0
    assert db.conn.do("CONFIG", "SET", "idle-flush", "100ms") == b"OK"
    assert db.conn.do("SET", key(0), db.values[0]) == b"OK"
    db.flush()
    verify(work)
    db.writer.kill()
    db.writer.start()
    db.conn = db.writer.connect()
    assert look(db.conn, range(KEYS), db.values, ()) == 0


def slot_damaged(db):
    """The writer that wrote it goes on; who has to read it does not go past it."""
    say("a slot of the log is damaged")
    work, store = db.work, db.work.store
    assert db.conn.do("CONFIG", "SET", "idle-flush", "1h") == b"OK"
    victim = write_slots(db, b"damaged")[10]
    good = store.get(victim)
    store.put(victim, flip(good, len(good) - 1))
    verify(work, "error: " + victim)
    assert look(db.conn, range(KEYS), db.values, ()) == 0
    reader, r = cold_reader(work, "cold-log")
    got = r.ask("GET", key(19))
    assert isinstance(got, Error) and str(got).startswith("KVSTALE"), "a read past a damaged slot: %r" % got
    assert reader.said("tailing failed", victim), reader.tail()
    db.writer.kill()
    again = work.node("writer", "again", ARGS).start(ready=False)
    assert again.process.wait(PATIENCE) == 1, "exit status %d" % again.process.returncode
    assert again.said("firn-writer: ", victim), again.tail()
    store.put(victim, good)
    again.start()
    c = again.connect()
    for conn in (c, r):
        wait_for("all is served", lambda conn=conn: not isinstance(conn.ask("GET", key(19)), Error), PATIENCE)
        assert look(conn, range(KEYS), db.values, ()) == 0
        conn.close()
    assert again.stop() == 0 and reader.stop() == 0
    verify(work)


def main():
    with Work(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "file") as work:
        db = Database(work)
        for at in range(0, KEYS, KEYS // 4):
            db.write(range(at, at + KEYS // 4))
        l1_table(db, "deleted", lambda name, good: work.store.delete(name))
        l1_table(db, "flipped", lambda name, good: work.store.put(name, flip(good, 5000)))
        l0_table(db)
        slot_deleted(db)
        slot_damaged(db)
    print("ok")


if __name__ == "__main__":
    main()
