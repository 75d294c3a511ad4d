"""Commands on the connection and the server, as far as both servers can answer them alike."""
from stream import JUNK, maker

NAMES = [b"GET", b"SET", b"MSET", b"MGET", b"DEL", b"COPY", b"RENAME", b"OBJECT", b"CLIENT", b"LCS", b"BITPOS", b"PING",
         b"EXPIRE", b"SETRANGE", b"MEMORY", b"SUBSTR"]


@maker(1)
def echo(s):
    return [b"ECHO", s.value()]


@maker(1)
def ping(s):
    return [b"PING"] + s.maybe(0.4, s.value())


@maker(0.5)
def wait(s):
    return [b"WAIT", b"0", s.pick(b"0", b"1", b"-1", b"x")]


@maker(0.5)
def time(s):
    return [b"TIME"]


@maker(3)
def inspect(s):
    words = [s.pick(b"REFCOUNT", b"IDLETIME", b"FREQ", b"HELP", b"BAD")]
    return [b"OBJECT", s.case(words[0])] + ([] if words[0] == b"HELP" else [s.key()])


@maker(1.5)
def memory_usage(s):
    return [b"MEMORY", s.case(b"USAGE"), s.key()] + s.maybe(0.5, s.case(b"SAMPLES"), s.pick(b"0", b"5", b"-1", b"x"))


@maker(4)
def client_name(s):
    how = s.r.randrange(4)
    if how == 0:
        return [b"CLIENT", s.case(b"SETNAME"), s.pick(b"", b"me", b"with space", b"\xff", b"tab\t", b"c" * 100)]
    return [b"CLIENT", s.case(s.pick(b"GETNAME", b"GETREDIR", b"TRACKINGINFO"))] if how < 3 else \
        [b"CLIENT", s.case(s.pick(b"NO-EVICT")), s.case(s.pick(b"ON", b"OFF", b"BAD"))]


@maker(5, alone=True)
def client_kill(s):
    """Filters that meet nobody, and wrong ones."""
    if s.r.random() < 0.2:
        return [b"CLIENT", b"KILL", s.pick(b"1.2.3.4:5", b"nowhere")]
    options = [[b"ID", s.pick(b"99999999", b"0", b"x")], [b"ADDR", b"1.2.3.4:5"], [b"LADDR", b"1.2.3.4:5"],
               [b"TYPE", s.pick(b"PUBSUB", b"NORMAL", b"MASTER", b"SLAVE", b"REPLICA", b"BAD")], [b"USER", s.pick(b"default", b"nobody")],
               [b"SKIPME", s.pick(b"yes", b"YES", b"bad")]]
    chosen = s.r.sample(options, s.r.randrange(1, 4)) + [[b"ADDR", b"1.2.3.4:5"]]  # nobody has that address
    return [b"CLIENT", b"KILL"] + [w for name, value in chosen for w in (s.case(name), value)]


@maker(2.5)
def client_pause(s):
    if s.r.random() < 0.5:
        return [b"CLIENT", s.case(b"UNPAUSE")]
    return [b"CLIENT", s.case(b"PAUSE"), s.pick(b"0", b"1", b"2", b"x", b"-1")] + \
        s.maybe(0.7, s.case(s.pick(b"WRITE", b"ALL", b"BAD")))


@maker(1.5)
def getkeys(s):
    call = [s.case(s.pick(*NAMES))] + [s.pick(*(JUNK + [b"USAGE", b"ENCODING", b"a", b"b"])) for _ in range(s.r.randrange(4))]
    return [b"COMMAND", s.case(s.pick(b"GETKEYS", b"GETKEYSANDFLAGS"))] + call


@maker(0.5)
def unknown(s):
    return [s.pick(b"NOSUCHCOMMAND", b"get\r\n", b"", b"x" * 200)] + s.keys()


@maker(1)
def unknown_subcommand(s):
    return [s.pick(b"CLIENT", b"OBJECT", b"CONFIG", b"COMMAND", b"MEMORY", b"SLOWLOG", b"LATENCY", b"FUNCTION", b"DEBUG"),
            s.pick(b"NOSUCH", b"", b"x" * 200, b"bad\r\n")] + s.maybe(0.3, s.key())


@maker(1.5)
def help_(s):
    return [s.pick(b"SLOWLOG", b"LATENCY", b"CONFIG", b"FUNCTION", b"MEMORY", b"OBJECT"), s.case(b"HELP")]


@maker(1)
def slowlog(s):
    return [b"SLOWLOG", s.case(s.pick(b"LEN", b"RESET", b"GET"))] + s.maybe(0.2, s.pick(b"0", b"-1", b"-2", b"x"))


@maker(1)
def latency(s):
    how = s.r.randrange(4)
    return [b"LATENCY", s.case([b"LATEST", b"RESET", b"HISTORY", b"HISTOGRAM"][how])] + \
        [[], s.maybe(0.5, b"command"), [b"command"], [b"nosuchcommand"]][how]


@maker(1)
def function(s):
    return [b"FUNCTION", s.case(b"FLUSH")] + s.maybe(0.7, s.case(s.pick(b"ASYNC", b"SYNC", b"BAD")))


@maker(1)
def cluster_reads(s):
    return [s.pick(b"READONLY", b"READWRITE")]


@maker(1, alone=True)
def debug(s):
    return [b"DEBUG"] + s.pick([b"SET-ACTIVE-EXPIRE", b"1"], [b"SLEEP", b"0"], [b"LOG", b"oracle"], [b"ERROR", b"ERR x"],
                               [b"PROTOCOL", s.pick(b"string", b"integer", b"double", b"null", b"array", b"set", b"map",
                                                    b"bignum", b"true", b"false", b"verbatim", b"bad")],
                               [b"OBJECT", s.key()])
