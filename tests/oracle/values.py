"""Commands on values."""
from stream import COUNTS, FLOATS, INTS, maker


@maker(9)
def get(s):
    return [b"GET", s.key()]


@maker(14)
def set_(s):
    options = [s.ttl_option(keep=True) if s.r.random() < 0.6 else [], s.pick([], [], [b"NX"], [b"XX"]),
               s.maybe(0.2, b"GET"), s.ttl_option() if s.r.random() < 0.03 else []]
    s.r.shuffle(options)
    return [b"SET", s.key(), s.value()] + [s.case(w) for o in options for w in o]


@maker(4)
def getex(s):
    return [b"GETEX", s.key()] + (s.ttl_option(persist=True) if s.r.random() < 0.8 else [])


@maker(10)
def one_value(s):
    return [s.pick(b"SETNX", b"GETSET", b"APPEND", b"APPEND"), s.key(), s.value()]


@maker(4)
def one_key(s):
    return [s.pick(b"GETDEL", b"STRLEN"), s.key()]


@maker(4)
def setex(s):
    if s.r.random() < 0.5:
        return [b"SETEX", s.key(), s.far(), s.value()]
    return [b"PSETEX", s.key(), s.pick(b"1000000", b"2000000", b"0", b"-1", b"x"), s.value()]


@maker(4)
def mget(s):
    return [b"MGET"] + s.keys()


@maker(5)
def mset(s):
    words = [s.pick(b"MSET", b"MSET", b"MSETNX")]
    for _ in range(s.r.randrange(1, 5)):
        words += [s.key(), s.value()]
    return words


@maker(6)
def incr(s):
    return [s.pick(b"INCR", b"DECR"), s.key()]


@maker(8)
def incrby(s):
    return [s.pick(b"INCRBY", b"DECRBY"), s.key(), s.pick(*INTS)]


@maker(5)
def incrbyfloat(s):
    return [b"INCRBYFLOAT", s.key(), s.pick(*FLOATS)]


@maker(5)
def getrange(s):
    return [s.pick(b"GETRANGE", b"SUBSTR"), s.key(), s.pick(*COUNTS), s.pick(*COUNTS)]


@maker(4)
def setrange(s):
    return [b"SETRANGE", s.key(), s.pick(b"0", b"1", b"7", b"1000", b"-1", b"x", b"99999999999"), s.value()]


BIT_OFFSETS = [b"0", b"1", b"5", b"7", b"8", b"14", b"63", b"64", b"100", b"1000", b"-1", b"4294967296", b"x", b""]


@maker(7)
def bit(s):
    if s.r.random() < 0.5:
        return [b"GETBIT", s.key(), s.pick(*BIT_OFFSETS)]
    return [b"SETBIT", s.key(), s.pick(*BIT_OFFSETS), s.pick(b"0", b"1", b"1", b"0", b"2", b"x")]


def unit(s):
    return [s.case(s.pick(b"BIT", b"BYTE", b"BIT", b"BYTE", b"BITS"))]


@maker(4)
def bitcount(s):
    words = [b"BITCOUNT", s.key()]
    if s.r.random() < 0.7:
        words += [s.pick(*COUNTS), s.pick(*COUNTS)]
        words += unit(s) if s.r.random() < 0.6 else []
    return words


@maker(5)
def bitpos(s):
    words = [b"BITPOS", s.key(), s.pick(b"0", b"1", b"0", b"1", b"2", b"x")]
    n = s.r.randrange(4)
    words += [s.pick(*COUNTS) for _ in range(min(n, 2))]
    return words + (unit(s) if n == 3 else [])


@maker(4)
def lcs(s):
    words = s.maybe(0.3, b"LEN") + s.maybe(0.5, b"IDX") + s.maybe(0.3, b"WITHMATCHLEN")
    if s.r.random() < 0.3:
        words += [b"MINMATCHLEN", s.pick(*COUNTS)]
    return [b"LCS", s.key(), s.key()] + [s.case(w) for w in words]

