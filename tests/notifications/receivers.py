"""HTTP and SMTP servers on loopback that receive notifications."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from backups_portal.demo.ports import free_port


@dataclass(frozen=True)
class Asked:
    """A request as received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server with given answers, of which the last repeats.

    Attributes:
        answers: Statuses, in turn.
        hang: Seconds of silence before an answer.
        drip: Whether it sends one byte of its answer every half second.
    """

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: list[int] = field(default_factory=lambda: [204])
    location: str = ""
    retry_after: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    hang: float = 0.0
    drip: bool = False

    def take(self) -> int:
        """Return the next answer."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver."""
    said = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            if said.hang:
                said.ended.wait(said.hang)
            if said.drip:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not said.ended.wait(0.5):
                    self.wfile.write(b"x")
            self.send_response(said.take())
            if said.location:
                self.send_header("Location", said.location)
            if said.retry_after:
                self.send_header("Retry-After", said.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815 - names of http.server

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Ignore that the client has disconnected, as these tests intend."""

    server = Server(("127.0.0.1", 0), Handler)
    said.url = f"http://127.0.0.1:{server.server_address[1]}/hook/T0PSECRET"
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield said
    finally:
        said.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mailbox:
    """A mail server: its messages, refused recipients, and whether it accepts anything."""

    host: str = "127.0.0.1"
    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list)
    unknown: str = ""
    refuses: bool = False

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Answer a recipient; aiosmtpd calls this."""
        if address == self.unknown:
            return "550 No such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Accept a message; aiosmtpd calls this."""
        if self.refuses:
            return "451 Try again later"
        parsed = BytesParser(policy=default).parsebytes(envelope.content)
        assert isinstance(parsed, EmailMessage)
        self.messages.append(parsed)
        return "250 OK"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Run a mailbox."""
    box = Mailbox()
    box.port = free_port()
    controller = Controller(box, hostname=box.host, port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
