"""A real S3 server on this machine, and a proxy that can spoil its answers."""

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from backups_portal.demo.ports import LOOPBACK, free_port, is_free

KEY, SECRET = "0123456789abcdef", "0123456789abcdef0123456789abcdef"
BUCKET = "bucket"
PATIENCE = 20.0
SKIPPED_HEADERS = ("connection", "content-length", "transfer-encoding")


@contextmanager
def s3_server(folder: Path, *, key: str = KEY, secret: str = SECRET) -> Iterator[str]:
    """Run an S3 server with an empty bucket, stored in the folder; yield its address."""
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    server = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("rclone")), "serve", "s3"),
            *("--addr", f"{LOOPBACK}:{port}", "--auth-key", f"{key},{secret}", str(folder)),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while is_free(port) and time.monotonic() < deadline:
            assert server.poll() is None
            time.sleep(0.05)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        server.terminate()
        server.wait()


def bucket_url(
    endpoint: str, prefix: str, *, key: str = KEY, secret: str = SECRET, **parameters: str
) -> str:
    """Return a URL with all parameters of a bucket, independent of the environment."""
    query = {
        "endpoint": endpoint,
        "region": "us-east-1",
        "allow_http": "true",
        "access_key_id": key,
        "secret_access_key": secret,
        **parameters,
    }
    return f"s3://{BUCKET}/{prefix}?{urlencode(query)}"


@dataclass(frozen=True)
class Answer:
    """An answer of the server, as received or changed.

    Attributes:
        sent: Bytes of the body before the connection ends; None: all of it.
        delay: Seconds before the answer begins.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    sent: int | None = None
    delay: float = 0.0


Fault = Callable[[str, str, Answer], Answer]


DENIED = Answer(403, [], b"<Error><Code>AccessDenied</Code></Error>")


def well(method: str, path: str, answer: Answer) -> Answer:
    """Return the answer unchanged."""
    return answer


def one_of(count: int, fault: Fault) -> Fault:
    """Apply the fault to the first of this many answers, whatever the request."""
    calls = itertools.count()

    def now_and_then(method: str, path: str, answer: Answer) -> Answer:
        return answer if next(calls) % count else fault(method, path, answer)

    return now_and_then


@dataclass
class Proxy:
    """A proxy of an S3 server.

    Attributes:
        fault: Changes each answer.
        denies: Tells which requests are denied, and do not reach the server.
        asked: Method and path of each request.
        checksums: Requests with a checksum for the server to compare.
        conditions: Requests that write only if nothing exists yet.
        harmed: Answers that a fault has changed.
    """

    endpoint: str
    fault: Fault = well
    denies: Callable[[str, str], bool] = lambda method, path: False
    asked: list[tuple[str, str]] = field(default_factory=list)
    checksums: int = 0
    conditions: int = 0
    harmed: int = 0


@contextmanager
def proxy_before(endpoint: str) -> Iterator[Proxy]:
    """Run a proxy in front of another server."""
    behind = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            is_denied = proxy.denies(self.command, self.path)
            answer = DENIED if is_denied else self.answer_of_the_server(body)
            made = proxy.fault(self.command, self.path, answer)
            proxy.asked.append((self.command, self.path))
            proxy.checksums += "x-amz-checksum-sha256" in self.headers
            proxy.conditions += "If-None-Match" in self.headers
            proxy.harmed += made is not answer
            self.say(made)

        def answer_of_the_server(self, body: bytes) -> Answer:
            connection = HTTPConnection(behind, timeout=PATIENCE)
            try:
                # The signature covers the Host header, so forward it unchanged.
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                return Answer(answer.status, answer.getheaders(), answer.read())
            finally:
                connection.close()

        def say(self, answer: Answer) -> None:
            time.sleep(answer.delay)
            self.send_response(answer.status)
            length = str(len(answer.body))
            for name, value in answer.headers:
                if name.lower() == "content-length" and self.command == "HEAD":
                    length = value
                elif name.lower() not in SKIPPED_HEADERS:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(answer.body[: answer.sent])
            self.close_connection = answer.sent is not None

        def log_message(self, *_: object) -> None:
            """Stay silent, since tests look at `asked`."""

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = hand_on  # noqa: N815

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://{LOOPBACK}:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
