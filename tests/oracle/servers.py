"""The servers under comparison, started over directories of their own."""
import os
import socket
import subprocess
import sys
import time

from wire import Client


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, what):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("%s ended with status %d" % (what, process.returncode))
        try:
            client = Client("127.0.0.1", port)
            reply = client.call("PING")
            client.close()
            if reply == ("+", b"PONG"):
                return
        except OSError:
            pass
        time.sleep(0.02)
    sys.exit("%s does not answer on port %d" % (what, port))


class Servers:
    """Processes that are ended when it is left."""

    def __init__(self, directory):
        self.directory = directory
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()

    def start(self, what, port, words):
        with open(os.path.join(self.directory, what + ".log"), "wb") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log)
        self.processes.append(process)
        wait_for(port, process, what)
        return "127.0.0.1", port

    def redis(self, binary):
        port = free_port()
        return self.start("redis-server", port,
                          [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                           "--enable-debug-command", "yes", "--dir", self.directory])

    def node(self, binary):
        """A firn-writer or firn-reader; all of them over one store."""
        name = os.path.basename(binary)
        port, home, store = free_port(), os.path.join(self.directory, name), os.path.join(self.directory, "store")
        os.makedirs(store, exist_ok=True)
        os.mkdir(home)
        return self.start(name, port,
                          [binary, "--store", "file://" + store, "--dir", home, "--port", str(port), "--http-port", "0",
                           "--bind", "127.0.0.1", "--enable-debug-command", "local"])
