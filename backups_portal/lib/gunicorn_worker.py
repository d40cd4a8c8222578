"""Gunicorn's asynchronous worker, with a timeout for the headers of a request.

For `--worker-class`. The timeouts of bodies are in `asgi_client.py`.
"""

import asyncio
import resource
import socket

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

# From connecting to the end of the first request's headers; gunicorn's `--keep-alive` limits the
# wait for later requests.
HEAD_SECONDS = 10.0
HEAD_END = b"\r\n\r\n"
ENDING = b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_LATE = b"HTTP/1.1 408 Request Timeout" + ENDING
UNREADABLE = b"HTTP/1.1 400 Bad Request" + ENDING
# A client that acknowledges nothing for this long has vanished, as after a power cut.
SILENT_MILLISECONDS = 30_000


class Worker(ASGIWorker):
    """Serves a `Bridge`."""

    def load_wsgi(self) -> None:
        """Load the application, and time out connections without a request."""
        super().load_wsgi()
        _raise_file_limit()
        create = self.loop.create_server
        # The only place where the connection protocol can be replaced.
        self.loop.create_server = lambda factory, **options: create(
            lambda: PunctualProtocol(self), **options
        )

    def handle_exit_signal(self) -> None:
        """Stop, and end streams, which would last until they are cut off."""
        super().handle_exit_signal()
        self.asgi.stop()


class PunctualProtocol(ASGIProtocol):
    """Gunicorn's connection protocol, which closes connections without a timely request."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker)
        self._tail = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timeout of the first request."""
        self._timer = self.worker.loop.call_later(HEAD_SECONDS, self._end, TOO_LATE)
        connection = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT") and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_MILLISECONDS)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Stop the timeout at the end of the headers."""
        if self._timer is not None:
            seen = self._tail + data
            self._tail = seen[1 - len(HEAD_END) :]
            if HEAD_END in seen:
                self._stop_timer()
        try:
            super().data_received(data)
        except ValueError:
            # The content length has more digits than Python converts.
            self._end(UNREADABLE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        self._stop_timer()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, answer: bytes) -> None:
        self._stop_timer()
        self.transport.write(answer)
        self.transport.close()


def _raise_file_limit() -> None:
    """Let the process open as many connections as the system allows.

    The default is often 1,024 unless a process asks for more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
