"""Commands on keys, their times to live and databases."""
from stream import PATTERNS, maker


@maker(10)
def some_keys(s):
    return [s.pick(b"DEL", b"DEL", b"DEL", b"UNLINK", b"UNLINK", b"EXISTS", b"EXISTS", b"TOUCH")] + s.keys()


@maker(4)
def one_key(s):
    return [s.pick(b"TYPE", b"PERSIST"), s.key()]


@maker(5)
def ttl(s):
    return [s.pick(b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"), s.key()]


TIMES = {
    b"EXPIRE": [b"1000", b"5000", b"100000", b"0", b"-5", b"9223372036854775807", b"x"],
    b"PEXPIRE": [b"1000000", b"9000000", b"0", b"-1", b"x"],
    b"EXPIREAT": [b"4000000000", b"4000000001", b"1", b"-1", b"9223372036854775807"],
    b"PEXPIREAT": [b"4000000000000", b"4000000001000", b"1", b"-1"],
}


@maker(14)
def expire(s):
    name = s.pick(*TIMES)
    options = [s.case(s.pick(b"NX", b"XX", b"GT", b"LT")) for _ in range(s.pick(0, 0, 1, 1, 1, 2))]
    return [name, s.key(), s.pick(*TIMES[name])] + options


@maker(4)
def rename(s):
    return [s.pick(b"RENAME", b"RENAMENX"), s.key(), s.key()]


@maker(3)
def copy(s):
    options = [s.maybe(0.4, b"DB", s.pick(b"0", b"1", b"2", b"99", b"x")), s.maybe(0.4, b"REPLACE")]
    s.r.shuffle(options)
    return [b"COPY", s.key(), s.key()] + [s.case(w) for o in options for w in o]


@maker(2)
def keys(s):
    return [b"KEYS", s.pick(*PATTERNS)]


@maker(3)
def whole(s):
    return [s.pick(b"RANDOMKEY", b"DBSIZE", b"DBSIZE")]


@maker(1)
def select(s):
    return [b"SELECT", s.pick(b"0", b"0", b"1", b"2", b"99", b"x", b"-1")]


@maker(2)
def flush(s):
    return [s.pick(b"FLUSHDB", b"FLUSHDB", b"FLUSHDB", b"FLUSHALL")] + s.maybe(0.6, s.case(s.pick(b"ASYNC", b"SYNC")))


@maker(0.5, alone=True)
def scan_mistakes(s):
    return [b"SCAN", s.pick(b"x", b"1.5")] if s.r.random() < 0.5 else \
        [b"SCAN", b"0", s.pick(b"COUNT", b"MATCH", b"BAD", b"TYPE")] + s.maybe(0.3, s.pick(b"x"), b"y")
