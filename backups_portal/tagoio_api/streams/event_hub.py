"""Serve all event streams of a process through one Redis subscription."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.conf import settings
from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import async_redis_client
from backups_portal.tagoio_api.streams.events import brings_tokens, kept_key, unheard_key
from backups_portal.tagoio_api.streams.listening_rights import Claim, refused

log = get_logger(__name__)

# Clients are promised a line every 5 seconds, and consider a stream dead after a minute.
BREATH_SECONDS = 4.0
# How often the tokens of open streams are checked again.
CHECK_SECONDS = 30.0
REDIS_SECONDS = 5.0
# The most events queued for a slow client.
MAX_WAITING = 1000
GREETING, BREATH = b": listening\n\n", b": still here\n\n"
# Makes clients reconnect in 5 s; they would treat any status except 200 as final.
LATER = b"retry: 5000\n\n"

Sender = Callable[[bytes], Awaitable[None]]
Event = tuple[int, bytes]


class RevokedError(Exception):
    """The token of a stream is no longer valid."""


@dataclass(eq=False)
class Listener:
    """A stream of server-sent events.

    Args:
        claim: The token that opened it.
        topics: The topics it listens to.
        last: The number of the last event that its client received; 0 if unknown.
    """

    claim: Claim
    topics: Sequence[str]
    last: int = 0
    waiting: "asyncio.Queue[Event | None]" = field(
        default_factory=lambda: asyncio.Queue(MAX_WAITING + 1)
    )

    async def run(self, send: Sender) -> None:
        """Send events until the client leaves or loses its token, or Redis fails."""
        hub = the_hub()
        if not hub.admit(self):
            await send(LATER)
            return
        try:
            await hub.subscribe(self)
            await send(GREETING)
            for event in await hub.missed(self):
                await self._send(send, event)
            await self._listen(send)
        except (RedisError, TimeoutError):
            log.warning("an event stream ended because Redis failed", exc_info=True)
            await send(LATER)
        except RevokedError:
            log.info("an event stream ended because its token was revoked")
        finally:
            await hub.leave(self)

    async def _listen(self, send: Sender) -> None:
        while True:
            try:
                async with asyncio.timeout(BREATH_SECONDS):
                    event = await self.waiting.get()
            except TimeoutError:
                await send(BREATH)
                continue
            if event is None:
                return
            # It may already have been sent as one of the missed events.
            if event[0] > self.last:
                await self._send(send, event)

    async def _send(self, send: Sender, event: Event) -> None:
        if any(map(brings_tokens, self.topics)):
            await self._check_claim()
        number, content = event
        self.last = max(self.last, number)
        await send(b"id: %d\ndata: %b\n\n" % (number, content))

    async def _check_claim(self) -> None:
        """Raise RevokedError if the token was revoked: it must not see a new one."""
        if await asyncio.to_thread(refused, {self.claim}):
            raise RevokedError

    def hear(self, event: Event) -> None:
        """Queue an event for the client; end the stream if too many wait."""
        if self.waiting.qsize() < MAX_WAITING:
            self.waiting.put_nowait(event)
        else:
            self.end()

    def end(self) -> None:
        """End the stream after the events already queued."""
        if not self.waiting.full():
            self.waiting.put_nowait(None)


class Hub:
    """The listeners of this process, by topic."""

    def __init__(self) -> None:
        self._listeners: dict[Listener, None] = {}
        self._by_topic: defaultdict[str, set[Listener]] = defaultdict(set)
        self._ready: dict[str, asyncio.Event] = {}
        self._lock = asyncio.Lock()
        self._redis: Redis | None = None
        self._pubsub: PubSub | None = None
        self._work: asyncio.Task[None] | None = None

    def admit(self, listener: Listener) -> bool:
        """Admit a listener; at the limit, it may replace another one."""
        if len(self._listeners) >= settings.API_EVENT_STREAMS:
            replaced = self._replaceable(listener.claim)
            if replaced is None:
                return False
            del self._listeners[replaced]
            replaced.end()
        self._listeners[listener] = None
        return True

    def _replaceable(self, claim: Claim) -> Listener | None:
        """Return the oldest listener of a token, or of the largest project.

        The largest has the most listeners; None if it would then have fewer than the token's own.
        """
        own = next((one for one in self._listeners if one.claim == claim), None)
        if own is not None:
            return own
        counts = Counter(one.claim.prefix for one in self._listeners)
        [(prefix, most)] = counts.most_common(1)
        if most <= counts[claim.prefix] + 1:
            return None
        return next(one for one in self._listeners if one.claim.prefix == prefix)

    async def subscribe(self, listener: Listener) -> None:
        """Subscribe to a listener's topics; it misses no event once this returns.

        Raises:
            RedisError, TimeoutError: Redis does not answer.
        """
        async with asyncio.timeout(REDIS_SECONDS):
            async with self._lock:
                pubsub = self._begin()
                for topic in listener.topics:
                    self._by_topic[topic].add(listener)
                    if topic not in self._ready:
                        self._ready[topic] = asyncio.Event()
                        await pubsub.subscribe(topic)
                if self._work is None:
                    self._work = asyncio.ensure_future(self._read(pubsub))
                ready = [self._ready[topic] for topic in listener.topics]
            for confirmed in ready:
                await confirmed.wait()

    async def missed(self, listener: Listener) -> list[Event]:
        """Read the events that the listener's client, or all clients, have missed."""
        assert self._redis is not None  # noqa: S101 - somebody has subscribed
        found: set[bytes] = set()
        for topic in listener.topics:
            async with self._redis.pipeline(transaction=True) as both:
                # These are only queued; `execute` returns their results.
                both.zrange(unheard_key(topic), 0, -1)
                both.delete(unheard_key(topic))
                unheard, _ = await both.execute()
            found.update(unheard)
            if listener.last:
                after = f"({listener.last}"
                kept: Any = await self._redis.zrangebyscore(kept_key(topic), after, "+inf")
                found.update(kept)
        return sorted(map(_event, found))

    async def leave(self, listener: Listener) -> None:
        """Remove a listener, and unsubscribe from topics that only it had."""
        self._listeners.pop(listener, None)
        async with self._lock:
            for topic in listener.topics:
                self._by_topic[topic].discard(listener)
                if self._by_topic[topic]:
                    continue
                del self._by_topic[topic]
                if self._ready.pop(topic, None) and self._pubsub is not None:
                    try:
                        await self._pubsub.unsubscribe(topic)
                    except RedisError:
                        log.warning("could not unsubscribe from a topic", exc_info=True)

    def _begin(self) -> PubSub:
        if self._redis is None or self._pubsub is None:
            self._redis = async_redis_client(REDIS_SECONDS)
            self._pubsub = self._redis.pubsub()
        return self._pubsub

    async def _read(self, pubsub: PubSub) -> None:
        checking = asyncio.ensure_future(self._check())
        try:
            while True:
                message = await pubsub.get_message(timeout=REDIS_SECONDS)
                if message is not None:
                    self._pass_on(message)
        except (RedisError, OSError):
            log.warning("the subscription to events failed", exc_info=True)
        finally:
            checking.cancel()
            # Clients reconnect in seconds, and send the id of the last event they received.
            for listener in self._listeners:
                listener.end()
            self._ready.clear()
            self._work = self._pubsub = None
            with suppress(RedisError, OSError):
                await pubsub.aclose()

    def _pass_on(self, message: JsonObject) -> None:
        topic = message["channel"].decode()
        if message["type"] == "subscribe" and topic in self._ready:
            self._ready[topic].set()
        elif message["type"] == "message":
            for listener in self._by_topic.get(topic, ()):
                listener.hear(_event(message["data"]))

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            claims = {listener.claim for listener in self._listeners}
            try:
                gone = await asyncio.to_thread(refused, claims)
            except Exception:
                # Any error: if this task died, no revoked token would be noticed any more.
                log.exception("the tokens of event streams could not be checked")
                continue
            for listener in self._listeners:
                if listener.claim in gone:
                    listener.end()


def _event(message: bytes) -> Event:
    number, _, content = message.partition(b"\n")
    return int(number), content


@cache
def the_hub() -> Hub:
    """Return the hub of this process."""
    return Hub()
