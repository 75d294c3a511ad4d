"""Random commands from one seed. The makers of commands are in modules of their own (values, keys, connection),
each registered with its weight by @maker; a maker is given the Stream and gives the words of one command."""
import random

# Few enough to meet again and again, 64 at most; some are met far more often than others.
KEYS = [b"a", b"b", b"c", b"key:1", b"key:2", b"key:3", b"", b"bin\x00\xff\r\n", b"Key:1", b"k" * 300,
        b"k" * 65535, b"\xff" * 20, b"a\x00", b"[a]*?\\"] + [b"n%d" % i for i in range(50)]
HOT = KEYS[:12]
PATTERNS = [b"*", b"key:*", b"?", b"[ab]", b"[^a]", b"*:[1-2]", b"k\\ey:1", b"nothing*", b"bin*", b"[a-c", b"n[0-9]",
            b"n1*", b"\\[a\\]\\*\\?*", b"**", b"", b"k*k"]
INTS = [b"0", b"1", b"-1", b"5", b"10", b"-10", b"100", b"9223372036854775807", b"-9223372036854775808",
        b"9223372036854775808", b"007", b"+1", b" 1", b"1 ", b"1.5", b"abc", b"", b"-0", b"2147483648"]
FLOATS = [b"0.1", b"-1.5", b"3", b"1e3", b"1e400", b"-1e-5", b"nan", b"inf", b"abc", b"", b" 1", b"5.0e3", b"0x10",
          b"123456789.123456789", b"1e4932", b"-inf", b"0.5", b"10"]
VALUES = [b"", b"v", b"hello world", b"10", b"-7", b"3.25", b"x" * 100, b"\x00\x01\xff", b"10 ", b"1e5",
          b"9223372036854775806", b"caf\xc3\xa9", b"y" * 5000, b"10.0", b"1e1", b"010", b"\xff\xff", b"\x00" * 9]
COUNTS = [b"0", b"1", b"3", b"-1", b"-3", b"2", b"10", b"100", b"-100", b"abc", b"9223372036854775807",
          b"-9223372036854775808", b"8", b"-2"]
JUNK = [b"", b"x", b"-1", b"0", b"NX", b"XX", b"GET", b"EX", b"KEEPTTL", b"9223372036854775808", b"\x00", b"1e3", b"*"]
MALFORMED = 0.05

_makers, _weights, _alone = [], [], set()


def maker(weight, alone=False):
    """Register a maker. Commands of one that is `alone` are sent as they are made, never spoilt."""
    def register(make):
        _makers.append(make)
        _weights.append(weight)
        if alone:
            _alone.add(make)
        return make
    return register


class Stream:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def key(self):
        return self.r.choice(HOT if self.r.random() < 0.7 else KEYS)

    def keys(self, most=4):
        return [self.key() for _ in range(self.r.randrange(1, most))]

    def value(self):
        r = self.r
        if r.random() < 0.2:
            return bytes(r.randrange(256) for _ in range(r.randrange(12)))
        return r.choice(VALUES + INTS[:9])

    def pick(self, *words):
        return self.r.choice(words)

    def maybe(self, p, *words):
        return list(words) if self.r.random() < p else []

    def case(self, word):
        return word.lower() if self.r.random() < 0.3 else word

    def far(self):
        """Seconds to live that cannot end while the test runs, or that Redis refuses."""
        return self.pick(b"1000", b"5000", b"100000", b"100000000", b"0", b"-5", *INTS[6:13])

    def ttl_option(self, keep=False, persist=False):
        r = self.r
        kinds = [[b"EX", self.far()], [b"PX", self.pick(b"1000000", b"5000000", b"0", b"-1", b"abc")],
                 [b"EXAT", self.pick(b"4000000000", b"1", b"0", b"-1")],
                 [b"PXAT", self.pick(b"4000000000000", b"1000", b"0")]]
        if keep:
            kinds.append([b"KEEPTTL"])
        if persist:
            kinds.append([b"PERSIST"])
        return [self.case(w) for w in r.choice(kinds)]

    def malform(self, words):
        r = self.r
        how = r.randrange(5)
        if how == 0 and len(words) > 1:
            return words[:-1]
        if how == 1:
            return words + [r.choice(JUNK)]
        if how == 2 and len(words) > 2:
            at = r.randrange(2, len(words))
            return words[:at] + [r.choice(JUNK)] + words[at + 1:]
        if how == 3 and len(words) > 2:
            return words + [r.choice(words[1:])]
        return words + words[-2:] if len(words) > 3 else words + [b"extra"]

    def command(self):
        make = self.r.choices(_makers, _weights)[0]
        words = make(self)
        words[0] = self.case(words[0])
        if make not in _alone and self.r.random() < MALFORMED:
            words = self.malform(words)
        return words
