"""A client that keeps the types of RESP2 and RESP3 replies apart, so that unequal ones are seen."""
import socket


class Error(str):
    """An error reply."""


class Client:
    """One connection, with pipelining."""

    def __init__(self, host, port, timeout=30):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb", 1 << 18)

    def send(self, commands):
        out = []
        for c in commands:
            out.append(b"*%d\r\n" % len(c))
            for word in c:
                out.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.sock.sendall(b"".join(out))

    def read(self):
        """The next reply; EOFError when the server closed the connection."""
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return ("+", rest)
        if kind == b"-":
            return Error(rest.decode("latin-1"))
        if kind == b":":
            return int(rest)
        if kind == b",":
            return ("double", float(rest))
        if kind == b"(":
            return ("big number", rest)
        if kind == b"|":
            attributes = [(self.read(), self.read()) for _ in range(int(rest))]
            return ("attributes", attributes, self.read())
        if kind == b"#":
            return ("bool", rest)
        if kind == b"_":
            return ("null",)
        if kind == b"$":
            n = int(rest)
            return None if n < 0 else self.file.read(n + 2)[:-2]
        if kind == b"=":
            return ("verbatim", self.file.read(int(rest) + 2)[:-2])
        if kind in b"*~>":
            n = int(rest)
            if n < 0:
                return ("null array",)
            elements = [self.read() for _ in range(n)]
            return elements if kind == b"*" else (kind, elements)
        if kind == b"%":
            return ("map", [(self.read(), self.read()) for _ in range(int(rest))])
        raise ValueError("not a reply: %r" % line)

    def call(self, *words):
        """One command of words that are bytes, strings or numbers; its reply."""
        self.send([[w if isinstance(w, bytes) else str(w).encode() for w in words]])
        return self.read()

    def close(self):
        self.file.close()
        self.sock.close()
