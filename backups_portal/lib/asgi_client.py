"""The client of an ASGI request, with timeouts for reading and sending."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# The time for a body grows with the bytes received: a client that sends a few kilobytes a second
# succeeds, one that only keeps the connection open does not.
BODY_SECONDS = 20.0
SLOWEST_BYTES_PER_SECOND = 4096
# How long an unwanted body is read, and how long it may pause.
DISCARD_SECONDS, PAUSE_SECONDS = 5.0, 0.5
# The timeout for sending one piece of an answer.
SEND_SECONDS = 30.0


class ClientError(OSError):
    """The client has gone."""


class TooSlowError(ClientError):
    """The client took too long to send its body."""


class Client:
    """Reads from, and writes to, the client of one request.

    Args:
        receive, send: ASGI's callables.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._began: float | None = None
        self._received = 0
        self._is_read = False
        self._failure: ClientError | None = None
        self.is_gone = False
        # Bytes of the answer's body.
        self.sent = 0

    def check(self) -> None:
        """Raise ClientError if the client failed while a thread waited for it."""
        if self._failure is not None:
            raise self._failure

    async def read(self) -> bytes:
        """Read the next piece of the body; b"" at its end.

        Raises:
            TooSlowError: the piece did not arrive in time.
            ClientError: the client has left.
        """
        piece = b""
        while not piece and not self._is_read:
            message = await self._next()
            piece = message.get("body", b"")
            self._is_read = not message.get("more_body", False)
        self._received += len(piece)
        return piece

    async def _next(self) -> Message:
        now = time.monotonic()
        self._began = self._began or now
        until = self._began + BODY_SECONDS + self._received / SLOWEST_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(until - now):
                message = await self._receive()
        except TimeoutError as error:
            self._failure = TooSlowError()
            raise self._failure from error
        if message["type"] != "http.request":
            self._failure = ClientError()
            raise self._failure
        return message

    async def discard(self) -> None:
        """Read on for a moment if the answer is ready before the body ends.

        A client that is still sending when the connection ends may not see the answer.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while not self._is_read:
                    async with asyncio.timeout(PAUSE_SECONDS):
                        message = await self._receive()
                    self._is_read = not message.get("more_body", False)

    async def read_all(self, length: int) -> bytes:
        """Read a body of `length` bytes; raises as `read` does."""
        pieces = []
        while length > 0 and (piece := await self.read()):
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    async def start(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Begin the answer."""
        encoded = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def send(self, piece: bytes) -> None:
        """Send a piece of the answer.

        Raises:
            ClientError: the client has gone, or has stopped reading.
        """
        if self.is_gone:
            raise ClientError
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError as error:
            self.is_gone = True
            raise ClientError from error
        self.sent += len(piece)

    async def end(self, piece: bytes = b"") -> None:
        """End the answer, with its last piece."""
        await self._send({"type": "http.response.body", "body": piece})
        self.sent += len(piece)

    async def refuse(self, status: int) -> None:
        """Answer with a status alone and close the connection."""
        text = f"{status} {HTTPStatus(status).phrase}\n".encode()
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))]
        await self.start(status, [*headers, ("Connection", "close")])
        await self.end(text)

    async def until_gone(self) -> None:
        """Return when the client has left."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
