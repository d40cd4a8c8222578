"""The stream of events, as `text/event-stream`."""

import time
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from threading import BoundedSemaphore

import redis
from django.conf import settings
from django.http import StreamingHttpResponse
from ninja import Router

from backups_portal.api import queries
from backups_portal.api.envelope import ApiError
from backups_portal.api.events import broker, topic
from backups_portal.api.identity import ApiRequest, Caller, anyone

# A client takes a stream for dead that says nothing for a minute.
BREATH = 5.0
# Streams are ended after a while, and clients come back: a token may have been revoked meanwhile.
LONGEST = 300.0
MOST_CHANNELS = 20

router = Router(tags=["Events"])


@cache
def places() -> BoundedSemaphore:
    """Of this process: each stream keeps one of its threads."""
    return BoundedSemaphore(settings.API_EVENT_STREAMS)


@router.get("/events", auth=anyone, summary="Listen to events")
def events(request: ApiRequest) -> StreamingHttpResponse:
    """`?channel=` or `?channels=` with `analysis_trigger`, `analysis_console.ID`,
    `device_inspector.ID` and `device_data.ID`."""
    query = queries.parse_query(request.META["QUERY_STRING"])
    names = queries.texts(query.get("channels")) or queries.texts(query.get("channel"))
    if not names or len(names) > MOST_CHANNELS:
        raise ApiError(f"Name 1 to {MOST_CHANNELS} channels")
    topics = [topic(request.auth.project.prefix, _own(request.auth, name)) for name in names]
    if not places().acquire(blocking=False):
        raise ApiError("Too many clients listen at the moment", HTTPStatus.TOO_MANY_REQUESTS)
    try:
        heard = broker().pubsub(ignore_subscribe_messages=True)
        heard.subscribe(*topics)
    except redis.RedisError as error:
        places().release()
        raise ApiError(
            "Events cannot be listened to at the moment", HTTPStatus.SERVICE_UNAVAILABLE
        ) from error
    response = StreamingHttpResponse(_Stream(heard), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def _own(caller: Caller, channel: str) -> str:
    """The channel as it is published; a token that is not the profile's hears what is its own.

    Raises:
        ApiError: it is not for this token.
    """
    kind, _, about = channel.partition(".")
    token = caller.token
    if kind == "analysis_trigger" and token.kind == "analysis":
        return f"analysis_trigger.{token.analysis_id}"
    if about and about in (token.analysis_id, token.device_id):
        return channel
    # A trigger brings the token of its analysis, which may do everything.
    if token.kind == "profile" and (kind != "analysis_trigger" or token.permission == "full"):
        return channel
    raise ApiError("Authorization Denied", HTTPStatus.UNAUTHORIZED)


class _Stream:
    """What is heard, in the form of server-sent events; ends by itself after a while."""

    def __init__(self, heard: "redis.client.PubSub") -> None:
        self._heard = heard
        self._until = time.monotonic() + LONGEST
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        # Something at once, so that a client knows that it is connected.
        yield b": listening\n\n"
        said = time.monotonic()
        while said < self._until:
            try:
                message = self._heard.get_message(timeout=BREATH)
            except redis.RedisError:
                return
            now = time.monotonic()
            # Nothing may also mean that Redis has confirmed a channel.
            if message is None and now - said < BREATH:
                continue
            said = now
            yield b": still here\n\n" if message is None else b"data: %b\n\n" % message["data"]

    def close(self) -> None:
        """The client has left, or the stream has ended."""
        if self._open:
            self._open = False
            self._heard.close()
            places().release()
