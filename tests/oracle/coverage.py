"""Which commands and options were reached. What there is to reach comes from the servers themselves: the commands
that both list, and the tokens of their arguments as redis-server's COMMAND DOCS names them."""
from differences import NOT_COMPARED
from wire import Error


def names_of(client):
    """All commands of a server, subcommands as "client|id"."""
    names = [n.decode() for n in client.call("COMMAND", "LIST")]
    return {n: f for n, f in zip(names, client.call("COMMAND", "INFO", *names)) if isinstance(f, list)}


def subcommands(info):
    return [row[0].decode() for row in info[9]] if len(info) > 9 else []


def tokens_of(docs):
    """All tokens in a COMMAND DOCS entry (RESP2: a flat list), nested arguments too."""
    found = []
    fields = dict(zip(docs[::2], docs[1::2]))
    if b"token" in fields and fields[b"token"]:
        found.append(fields[b"token"].upper())
    for argument in fields.get(b"arguments") or []:
        found += tokens_of(argument)
    return found


class Coverage:
    def __init__(self, firn, redis):
        theirs, mine = names_of(redis), names_of(firn)
        self.reached = {}
        for name in theirs.keys() & mine.keys():
            subs = set(subcommands(theirs[name])) & set(subcommands(mine[name]))
            for full in sorted(subs) or [name]:
                if full not in NOT_COMPARED:
                    self.reached[full] = {"": 0}
        docs = redis.call("COMMAND", "DOCS", *self.reached)
        for name, doc in zip(docs[::2], docs[1::2]):
            for token in tokens_of(doc):
                self.reached[name.decode()][token.decode()] = 0
        self.wrong = 0
        self.total = 0

    def note(self, words, *replies):
        """A command was sent and answered by both."""
        self.total += 1
        if all(isinstance(r, Error) for r in replies):
            self.wrong += 1
            return
        upper = [w.upper().decode("latin-1") for w in words]
        name = upper[0].lower()
        counts = self.reached.get(name) or self.reached.get("|".join(u.lower() for u in upper[:2]))
        if counts is None:
            return
        counts[""] += 1
        for token in counts.keys() & set(upper[1:]):
            counts[token] += 1

    def table(self):
        rows = ["| command | answered | options |", "|---|---|---|"]
        for name, counts in sorted(self.reached.items()):
            options = ", ".join("%s %d" % (t, n) for t, n in counts.items() if t)
            rows.append("| %s | %d | %s |" % (name.replace("|", " ").upper(), counts[""], options))
        rows.append("\n%d commands, %d of them answered with an error." % (self.total, self.wrong))
        return "\n".join(rows)

    def missing(self, least):
        return ["%s %s" % (name.replace("|", " ").upper(), token) for name, counts in sorted(self.reached.items())
                for token, n in counts.items() if n < least]
