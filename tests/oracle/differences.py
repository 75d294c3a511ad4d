"""Where Firn differs from redis-server 7.0 on purpose. docs/COMPATIBILITY.md says the same to users; what is not sent
at all is in NOT_COMPARED, and a stream avoids what would set the two servers apart for good."""
from wire import Error


def both_errors(text):
    return lambda c, f, r: isinstance(f, Error) and isinstance(r, Error) and f.startswith(text) and r.startswith(text)


def named(*names):
    return lambda c: c[0].upper() in names


def sub(name, *subs):
    return lambda c: len(c) > 1 and c[0].upper() == name and c[1].upper() in subs


def near(tolerance):
    return lambda c, f, r: isinstance(f, int) and isinstance(r, int) and f > 0 and r > 0 and abs(f - r) <= tolerance


def same_elements(c, f, r):
    return isinstance(f, list) and isinstance(r, list) and sorted(f) == sorted(r)


def without_empty(keys):
    return sorted(k for k in keys if k)


def same_but_empty(c, f, r):
    return isinstance(f, list) and isinstance(r, list) and without_empty(f) == without_empty(r)


def same_kind(c, f, r):
    return type(f) is type(r) and not isinstance(f, Error)


def ours(text):
    return lambda c, f, r: isinstance(f, Error) and f.startswith(text)


# (reason, does it apply to the command, are firn's and redis' replies equal after all)
DIFFERENCES = [
    ("values are limited by value-max (8 MiB), not by proto-max-bulk-len (512 MiB); the text names it",
     named(b"APPEND", b"SETRANGE"), both_errors("ERR string exceeds maximum allowed size")),
    ("the two servers run a command at slightly different times", named(b"TTL", b"EXPIRETIME"), near(2)),
    ("the two servers run a command at slightly different times", named(b"PTTL", b"PEXPIRETIME"), near(2000)),
    ("whether a time to live that begins now ends later than one that began a moment ago depends on the millisecond",
     lambda c: c[0].upper() in (b"EXPIRE", b"PEXPIRE") and {b"GT", b"LT"} & {w.upper() for w in c[3:]},
     lambda c, f, r: {f, r} == {0, 1}),
    ("KEYS comes in key order, not in hash order", named(b"KEYS"), same_elements),
    ("in Redis a pattern with a * beside others, as in **, does not match the empty key", named(b"KEYS"), same_but_empty),
    ("Redis cuts an argument that it quotes at its first NUL", lambda c: b"\0" in b"".join(c),
     both_errors("ERR unknown ")),
    ("error texts are cut at 1 KiB", lambda c: max(map(len, c)) > 900,
     lambda c, f, r: isinstance(f, Error) and isinstance(r, Error) and f[:900] == r[:900]),
    ("the time of day", named(b"TIME"), same_kind),
    ("which key is random", named(b"RANDOMKEY"), same_kind),
    ("nothing is evicted, so nothing notes when a key was used or shares values",
     sub(b"OBJECT", b"IDLETIME", b"REFCOUNT"), same_kind),
    ("other memory", sub(b"MEMORY", b"USAGE"), same_kind),
    ("other commands", lambda c: len(c) == 1 and c[0].upper() == b"COMMAND", same_kind),
    ("HELP names the subcommands and options that there are", lambda c: len(c) > 1 and c[1].upper() == b"HELP", same_kind),
    ("what was slow is another thing", sub(b"SLOWLOG", b"GET", b"LEN"), same_kind),
    ("what was slow is another thing", sub(b"LATENCY", b"LATEST", b"RESET", b"HISTORY", b"HISTOGRAM"), same_kind),
    ("every node takes reads, so READONLY and READWRITE need no cluster mode", named(b"READONLY", b"READWRITE"),
     lambda c, f, r: f == ("+", b"OK")),
    ("DEBUG OBJECT tells of addresses and encodings in Redis's memory", sub(b"DEBUG", b"OBJECT"), same_kind),
]

# Commands that both know and that no stream sends, or whose replies are not compared.
NOT_COMPARED = {
    "auth": "needs a password: tests/unit/resp_conn_test",
    "client|id": "each server counts its own", "client|info": "other clients", "client|list": "other clients",
    "client|reply": "compared by a procedure", "client|help": "other subcommands",
    "command": "other commands", "command|count": "other commands", "command|docs": "other texts",
    "command|info": "compared by a procedure", "command|list": "other commands", "command|help": "other texts",
    "config|get": "other parameters", "config|set": "other parameters", "config|rewrite": "no file here",
    "config|resetstat": "changes what other tests count",
    "hello": "names the server; compared by a procedure", "info": "other numbers", "quit": "ends the stream",
    "reset": "compared by a procedure", "role": "other offsets", "scan": "compared as whole iterations",
    "object|encoding": "compared by a procedure, right behind a SET: Redis keeps how a value was last changed, Firn "
                       "derives the encoding from the value",
    "object|freq": "an error in both: no LFU policy", "memory|doctor": "prose", "memory|malloc-stats": "prose",
    "memory|stats": "other memory", "memory|purge": "nothing to compare", "latency|doctor": "prose", "latency|graph": "prose",
    "subscribe": "compared by a procedure", "psubscribe": "compared by a procedure",
    "ssubscribe": "compared by a procedure", "unsubscribe": "compared by a procedure",
    "punsubscribe": "compared by a procedure", "sunsubscribe": "compared by a procedure",
    "monitor": "shows other commands",
    "client|tracking": "pushes between replies: tests/integration/tracking.py",
    "client|caching": "pushes between replies: tests/integration/tracking.py",
    "multi": "compared by transactions.py", "exec": "compared by transactions.py",
    "discard": "compared by transactions.py", "watch": "compared by transactions.py",
    "unwatch": "compared by transactions.py",
}


def explained(command, firn, redis):
    return any(applies(command) and equal(command, firn, redis) for _, applies, equal in DIFFERENCES)
