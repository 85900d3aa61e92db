"""The frame of a paid service on this machine; test files answer in a provider's protocol."""

from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CANARY = "sk-canary-0123456789"
"""The key of the tests: must come out nowhere."""


class LocalServer(ThreadingHTTPServer):
    """Remembers what it was asked, how often, and how many requests were under way at once."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: Counter[str] = Counter()
        self.requests: list[dict] = []
        self.lock = threading.Lock()
        self.delay = 0.0
        self.busy = self.most_busy = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def answering(self, name: str, request: dict) -> Iterator[tuple[int, int]]:
        """While a request is answered; gives how often it and how many of all were asked."""
        with self.lock:
            self.asked[name] += 1
            self.requests.append(request)
            count = self.asked[name], len(self.requests)
            self.busy += 1
            self.most_busy = max(self.most_busy, self.busy)
        try:
            yield count
        finally:
            with self.lock:
                self.busy -= 1

    def handle_error(self, request, client_address):
        """A client that hangs up is part of the tests."""


class LocalHandler(BaseHTTPRequestHandler, ABC):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    @abstractmethod
    def answer(self, request: dict) -> None:
        """Answer in a provider's protocol."""

    def fail(self, action: object, partial: bytes) -> None:
        """Answer `cut` short, `echo` the key, or with a status, a body and more headers."""
        match action:
            case "cut":
                self.send(200, partial, declared=2 * len(partial))
                self.close_connection = True
            case "echo":
                key = self.headers["xi-api-key"] or self.headers["authorization"].split()[1]
                self.send(401, json.dumps({"error": {"message": f"invalid key {key}"}}).encode())
            case (status, body, more):
                self.send(status, body, more=more)

    def send(self, status, body, kind="application/json", declared=None, more=None):
        """Answer with a body, perhaps shorter than it is declared to be, and more headers."""
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body) if declared is None else declared))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def served(server: LocalServer) -> Iterator[LocalServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def everything_in(folder: Path) -> str:
    """Names and bytes of all files, as one text."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return "".join(f"{path}{path.read_bytes().decode('latin-1')}" for path in files)
