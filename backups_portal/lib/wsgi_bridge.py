"""The WSGI application behind an asynchronous server, so that slow clients block no threads.

The server's loop gathers small bodies, sends whole answers and files, and keeps streams of events,
all without a thread. While a thread waits for its client (for the next piece of a large body, or
until a piece of a long answer is sent) another may work in its place, so that clients that send or
read slowly do not hold up others.
"""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import BoundedSemaphore
from typing import IO, Any, NamedTuple, Protocol, TypeVar

from backups_portal.lib.access_log import note_request
from backups_portal.lib.asgi_client import Client, ClientError, Message, Receive, Send, TooSlowError
from backups_portal.lib.asgi_environ import environ_of
from backups_portal.lib.thread_slots import Slot, Slots

Headers = list[tuple[str, str]]
T = TypeVar("T")

# Bodies up to this size are in memory before a thread begins. The application reads larger ones
# only once it has authenticated the sender.
GATHERED_BYTES = 256 * 1024
PIECE_BYTES = 64 * 1024
# Threads that may wait for their clients in addition to those that work; each may keep a connection
# to the portal's database.
WAITING_THREADS = 32
# The environ key under which a view leaves a Stream, to continue its answer without a thread.
STREAM = "backups_portal.stream"
BODILESS = frozenset({204, 304})


class Stream(Protocol):
    """The rest of an answer that lasts as long as its client stays connected."""

    async def run(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send pieces, until the client has gone or the server stops."""


class Answer:
    """The application's answer.

    Args:
        slot: The slot that its thread takes.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.status = 500
        self.headers: Headers = []
        self.body = b""
        self.file: _File | None = None
        self.is_sent = False

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[..., Any]:
        """Store status and headers: WSGI's `start_response`."""
        self.status = int(status.partition(" ")[0])
        self.headers = headers
        return _unsupported_write


class Refusal(NamedTuple):
    """An answer that the loop sends without the application."""

    status: int
    headers: Headers
    body: bytes


# The answer if too many threads wait for clients that read slowly.
BUSY = Refusal(
    503,
    [("Content-Type", "text/plain"), ("Retry-After", "60"), ("Cache-Control", "no-store")],
    b"Too many files are being downloaded right now. Try again in a minute.\n",
)
# A request's lane by path, and the answer if it is full; most requests have none.
LaneOf = Callable[[str], tuple[BoundedSemaphore, Callable[[], Refusal]] | None]
# A request's tenant by its environ; "" if it has none.
TenantOf = Callable[[dict[str, Any]], str]


class Bridge:
    """An ASGI application.

    Args:
        application: Django's WSGI application.
        threads: How many requests are worked on at a time.
        lane_of: Returns the lane of a request, if any.
        tenant_of: Returns the tenant of a request, if any.
        each: How many requests of one tenant are worked on at a time; 0: no limit.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        *,
        threads: int,
        lane_of: LaneOf = lambda path: None,
        tenant_of: TenantOf = lambda environ: "",
        each: int = 0,
    ) -> None:
        self._application = application
        self._lane_of = lane_of
        self._tenant_of = tenant_of
        self._slots = Slots(threads, each or threads, WAITING_THREADS)
        self._pool = ThreadPoolExecutor(threads + WAITING_THREADS, thread_name_prefix="request")
        self._streams: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """End all streams: the server stops only when all answers have ended."""
        self._is_stopping = True
        for stream in self._streams:
            stream.cancel()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        began = time.monotonic()
        environ = environ_of(scope)
        client = Client(receive, send)
        tenant = self._tenant_of(environ)
        answer = Answer(self._slots.of(tenant, reads_body=not is_gathered(environ)))
        try:
            await self._serve(environ, client, answer)
        except TooSlowError:
            answer.status = 408
            await client.refuse(408)
        except ClientError:
            # No client is left to answer.
            pass
        finally:
            client.is_gone = True
            note_request(
                environ, answer.status, answer.headers, client.sent, time.monotonic() - began
            )

    async def _serve(self, environ: dict[str, Any], client: Client, answer: Answer) -> None:
        is_small = is_gathered(environ)
        if is_small:
            environ["wsgi.input"] = io.BytesIO(await client.read_all(_length(environ) or 0))
        else:
            environ["wsgi.input"] = io.BufferedReader(
                _Arriving(self, client, answer.slot), PIECE_BYTES
            )
        environ["wsgi.file_wrapper"] = _File
        await self._answer(environ, client, answer)
        client.check()
        if answer.is_sent:
            return
        # A client that waits for "100 Continue" sends no body.
        if not is_small and "HTTP_EXPECT" not in environ:
            await client.discard()
        stream: Stream | None = environ.get(STREAM)
        if stream is not None:
            await self._follow(stream, client, answer)
        elif answer.file is not None:
            await self._send_file(answer.file, client, answer, environ["REQUEST_METHOD"])
        else:
            await _send_whole(client, answer, environ["REQUEST_METHOD"])

    async def _answer(self, environ: dict[str, Any], client: Client, answer: Answer) -> None:
        """Let a thread answer, or refuse if the request's lane is full.

        A place is held only while a thread works: neither a slowly sent body nor a slowly read
        answer keeps others out.
        """
        work = partial(self._run, environ, client, answer)
        found = self._lane_of(environ["PATH_INFO"])
        if found is None:
            await self._in_thread(work, answer.slot)
            return
        lane, refusal = found
        if not lane.acquire(blocking=False):
            answer.status, answer.headers, answer.body = refusal()
            return
        try:
            await self._in_thread(work, answer.slot)
        finally:
            lane.release()

    def _run(self, environ: dict[str, Any], client: Client, answer: Answer) -> None:
        """Call the application, in a thread, and send an answer that it streams."""
        parts: Any = self._application(environ, answer.start)
        if isinstance(parts, _File):
            answer.file = parts
            return
        try:
            if STREAM in environ:
                return
            if not getattr(parts, "streaming", True):
                answer.body = b"".join(parts)
                return
            if not self._in_loop(answer.slot.keep_for_client()):
                answer.status, answer.headers, answer.body = BUSY
                return
            answer.is_sent = True
            self.wait(client.start(answer.status, answer.headers), answer.slot)
            if environ["REQUEST_METHOD"] != "HEAD":
                for part in parts:
                    self.wait(client.send(part), answer.slot)
            self.wait(client.end(), answer.slot)
        finally:
            if hasattr(parts, "close"):
                parts.close()

    async def _in_thread(self, work: Callable[[], Any], slot: Slot) -> Any:
        """Run work in a thread as soon as one is free.

        It continues if the client leaves.
        """
        await slot.acquire()
        loop = asyncio.get_running_loop()
        # For `wait`: the thread itself has no loop.
        self._loop = loop
        future = loop.run_in_executor(self._pool, work)
        future.add_done_callback(partial(_free_slot, slot))
        return await asyncio.shield(future)

    def wait(self, coroutine: Coroutine[Any, Any, T], slot: Slot) -> T:
        """Wait for a client, in a thread, while another thread may work."""
        return self._in_loop(_without(slot, coroutine))

    def _in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the server's loop, from a thread."""
        assert self._loop is not None  # noqa: S101 - it has brought the thread its work
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _send_file(self, file: "_File", client: Client, answer: Answer, method: str) -> None:
        try:
            await client.start(answer.status, answer.headers)
            while method != "HEAD" and (piece := await self._in_thread(file.read, answer.slot)):
                await client.send(piece)
            await client.end()
        finally:
            await self._in_thread(file.close, answer.slot)

    async def _follow(self, stream: Stream, client: Client, answer: Answer) -> None:
        await client.start(answer.status, answer.headers)
        if not self._is_stopping:
            task = asyncio.ensure_future(stream.run(client.send))
            gone = asyncio.ensure_future(client.until_gone())
            self._streams.add(task)
            try:
                await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._streams.discard(task)
                gone.cancel()
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        await client.end()


class _Arriving(io.RawIOBase):
    """A body that a thread reads as it arrives."""

    def __init__(self, bridge: Bridge, client: Client, slot: Slot) -> None:
        self._bridge = bridge
        self._client = client
        self._slot = slot
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(self._bridge.wait(self._client.read(), self._slot))
        size = min(len(self._rest), len(buffer))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class _File:
    """WSGI's `file_wrapper`: a file to send unchanged."""

    def __init__(self, content: IO[bytes], block_size: int = PIECE_BYTES) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content.read(PIECE_BYTES)

    def close(self) -> None:
        self._content.close()


async def _without(slot: Slot, coroutine: Coroutine[Any, Any, T]) -> T:
    slot.turn.release()
    try:
        return await coroutine
    finally:
        await slot.turn.acquire()


def _free_slot(slot: Slot, future: "asyncio.Future[Any]") -> None:
    slot.release()
    if not future.cancelled():
        # If the client has left, nothing else retrieves the exception.
        future.exception()


async def _send_whole(client: Client, answer: Answer, method: str) -> None:
    body = answer.body
    is_said = any(name.lower() == "content-length" for name, _ in answer.headers)
    if not is_said and answer.status not in BODILESS:
        answer.headers = [*answer.headers, ("Content-Length", str(len(body)))]
    await client.start(answer.status, answer.headers)
    if method == "HEAD" or answer.status in BODILESS:
        body = b""
    last = max(len(body) - 1, 0) // PIECE_BYTES * PIECE_BYTES
    for begin in range(0, last, PIECE_BYTES):
        await client.send(body[begin : begin + PIECE_BYTES])
    await client.end(body[last:])


def is_gathered(environ: Mapping[str, Any]) -> bool:
    """Tell whether a request's body is in memory before a thread begins."""
    length = _length(environ)
    return length is not None and length <= GATHERED_BYTES


def _length(environ: Mapping[str, Any]) -> int | None:
    """Return the declared length of a body, or None for a chunked one."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        return None
    try:
        return int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def _unsupported_write(data: bytes) -> None:
    raise NotImplementedError("Django does not use WSGI's write()")
