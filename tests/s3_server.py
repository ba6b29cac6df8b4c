"""A real S3 server (moto's, in a process of its own) behind a proxy that breaks what it is told to.

Clients know the proxy alone. It refuses connections, answers 503, is slow, and cuts bodies short on
their way in either direction; it knows one access key, and counts what it has passed on.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

KEY, BUCKET = "AKIATEST", "bucket"
SERVE = """
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
BUSY = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
UNKNOWN = b"<Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>"


class FaultyS3:
    """The proxy; its attributes may be changed at any time."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.storm = 0
        """Of so many requests only the last is passed on; the others are answered 503."""
        self.delay = 0.0
        """Seconds that each answer takes longer."""
        self.cut_uploads, self.cut_downloads = 0, 0
        """How many of the next bodies are cut in the middle."""
        self.passed: Counter[tuple[str, str]] = Counter()
        """Requests that reached the server, by method and path."""
        self.refused = 0
        """Requests that did not."""
        self.written: dict[str, set[str]] = {}
        """The different contents that were written to each path, by their hash."""
        self.lock = threading.Lock()
        self.deciding = threading.Lock()
        """Conditional writes one by one: S3 decides them whole, moto asks first and then writes."""
        self._number = 0
        self.port = _free_port()
        self._listening: ThreadingHTTPServer | None = None
        self.open()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Accept connections."""
        listening = _Listening(("127.0.0.1", self.port), _Handler)
        listening.faulty = self
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        self._listening = listening

    def close(self) -> None:
        """Refuse connections, and break those that are open."""
        assert self._listening is not None
        self._listening.shutdown()
        self._listening.server_close()
        self._listening.break_all()
        self._listening = None

    @contextmanager
    def away(self, seconds: float) -> Iterator[None]:
        """Be away, from now on and for so long, while the block does something."""
        self.close()
        timer = threading.Timer(seconds, self.open)
        timer.start()
        try:
            yield
        finally:
            timer.join()

    def heal(self) -> None:
        """End all faults and forget what was counted."""
        self.storm, self.delay, self.cut_uploads, self.cut_downloads = 0, 0.0, 0, 0
        self.passed.clear()
        self.written.clear()
        self.refused = 0

    def next_fault(self, handler: _Handler) -> bytes | None:
        """The body of an error to answer with, if any."""
        credential = f"Credential={KEY}/" in handler.headers.get("Authorization", "")
        with self.lock:
            self._number += 1
            busy = bool(self.storm and self._number % self.storm)
            self.refused += busy or not credential
        return UNKNOWN if not credential else BUSY if busy else None


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    faulty: FaultyS3

    def __init__(self, *arguments: Any) -> None:
        self._open: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_all(self) -> None:
        """Break every open connection."""
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are the point."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listening

    def _pass_on(self) -> None:
        faulty = self.server.faulty
        body = self._body()
        if (error := faulty.next_fault(self)) is not None:
            self._answer(403 if error is UNKNOWN else 503, {}, error)
            return
        time.sleep(faulty.delay)
        cut = bool(body) and self.command == "PUT" and self._take("cut_uploads")
        if cut:
            self._send_half(body)
            self.close_connection = True
            self.connection.close()
            return
        path = self.path.partition("?")[0]
        with faulty.lock:
            faulty.passed[self.command, path] += 1
            if self.command == "PUT":
                faulty.written.setdefault(path, set()).add(hashlib.sha256(body).hexdigest())
        conditional = "If-None-Match" in self.headers or "If-Match" in self.headers
        with faulty.deciding if conditional and self.command == "PUT" else nullcontext():
            connection = http.client.HTTPConnection("127.0.0.1", faulty.server, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
        connection.close()
        self._answer(answer.status, dict(answer.headers), content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _take(self, fault: str) -> bool:
        faulty = self.server.faulty
        with faulty.lock:
            left = getattr(faulty, fault)
            setattr(faulty, fault, max(0, left - 1))
            faulty.refused += left > 0
        return left > 0

    def _send_half(self, body: bytes) -> None:
        """The server gets half of what its headers announce."""
        with socket.create_connection(("127.0.0.1", self.server.faulty.server)) as half:
            head = [f"{self.command} {self.path} HTTP/1.1"]
            head += [f"{name}: {value}" for name, value in self.headers.items() if name != "Expect"]
            half.sendall("\r\n".join([*head, "", ""]).encode() + body[: len(body) // 2])

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        kept = {n: v for n, v in headers.items() if n.lower() not in SET_HERE}
        length = headers.get("Content-Length") if self.command == "HEAD" else None
        for name, value in (kept | {"Content-Length": length or str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if len(content) > 1 and self.command == "GET" and self._take("cut_downloads"):
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


SET_HERE = {"content-length", "transfer-encoding", "connection", "date", "server"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def s3_server(folder: Path) -> Iterator[FaultyS3]:
    """A server with an empty bucket, behind its proxy; this process and those it starts use it."""
    with (folder / "server.log").open("w") as log:
        command = [sys.executable, "-c", SERVE]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert server.stdout is not None
        faulty = FaultyS3(int(server.stdout.readline()))
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            patch.setenv("AWS_ENDPOINT_URL", faulty.url)
            patch.setenv("AWS_ACCESS_KEY_ID", KEY)
            patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            import boto3

            boto3.client("s3").create_bucket(Bucket=BUCKET)
            yield faulty
            faulty.close()
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
