"""Publish and subscribe on one connection: what is answered. Who else gets what, on which node, is tested elsewhere."""
from stream import maker

CHANNELS = [b"c1", b"c2", b"", b"c\x00\r\n", b"key:1"]


@maker(2)
def publish(s):
    return [s.pick(b"PUBLISH", b"SPUBLISH"), s.pick(*CHANNELS), s.value()]


@maker(3)
def pubsub(s):
    name = s.pick(b"CHANNELS", b"SHARDCHANNELS", b"NUMSUB", b"SHARDNUMSUB", b"NUMPAT", b"HELP")
    words = s.maybe(0.5, s.pick(b"*", b"c?")) if name.endswith(b"CHANNELS") else \
        [s.pick(*CHANNELS) for _ in range(s.r.randrange(3))] if name.endswith(b"NUMSUB") else []
    return [b"PUBSUB", s.case(name)] + words


def subscriptions(r):
    """Commands between subscribing and leaving again; not one reply each."""
    kind = r.choice([b"", b"P", b"S"])
    some = [r.choice(CHANNELS) for _ in range(r.randrange(1, 4))]
    inside = [[b"PUBSUB", b"NUMSUB", b"c1"], [b"GET", b"a"], [b"PING", b"x"], [kind + b"UNSUBSCRIBE"] + some[:1],
              [kind + b"SUBSCRIBE"] + some[-1:], [b"ECHO", b"x"], [b"CLIENT", b"GETNAME"]]
    # Each by its name: without names Redis leaves in the order of a hash table, Firn in that of arrival.
    return [[kind + b"SUBSCRIBE"] + some] + r.sample(inside, 3) + [[kind + b"UNSUBSCRIBE"] + CHANNELS]
