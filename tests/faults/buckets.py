"""An S3 server behind a proxy that can stop passing anything on."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from backups_portal.demo.ports import LOOPBACK, free_port, is_free
from tests.faults.laboratory import until

KEY, SECRET = "0123456789abcdef", "0123456789abcdef0123456789abcdef"
BUCKET = "bucket"


@contextmanager
def s3_server(folder: Path) -> Iterator[int]:
    """Run an S3 server with an empty bucket; yield its port."""
    (folder / BUCKET).mkdir(parents=True)
    port = free_port()
    server = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("rclone")), "serve", "s3"),
            *("--addr", f"{LOOPBACK}:{port}", "--auth-key", f"{KEY},{SECRET}", str(folder)),
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: not is_free(port), ticking=False)
        yield port
    finally:
        server.terminate()
        server.wait()


def access(port: int, *, seconds: int) -> dict[str, str]:
    """Return the environment of a client that uses the bucket with this timeout."""
    values = {
        "ACCESS_KEY_ID": KEY,
        "SECRET_ACCESS_KEY": SECRET,
        "REGION": "us-east-1",
        "ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "ALLOW_HTTP": "true",
        "TIMEOUT": f"{seconds}s",
    }
    return {f"AWS_{name}": value for name, value in values.items()}


class Door:
    """A proxy of a server that passes bytes on unless it is shut.

    Attributes:
        given_up: Connections that clients opened while it was shut, and closed again.
    """

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = int(self._listener.getsockname()[1])
        self.given_up = 0
        threading.Thread(target=self._listen, daemon=True).start()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Accept connections in the context without answering."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[caller], daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller, socket.create_connection((LOOPBACK, self._behind)) as server:
            answers = threading.Thread(target=self._pass_on, args=[server, caller], daemon=True)
            answers.start()
            self._pass_on(caller, server)
            if not self._open.is_set():
                self.given_up += 1

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while content := source.recv(65_536):
                if self._open.is_set():
                    target.sendall(content)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def door_before(port: int) -> Iterator[Door]:
    """Open a proxy of the server on this port."""
    door = Door(port)
    try:
        yield door
    finally:
        door.close()
