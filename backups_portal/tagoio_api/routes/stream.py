"""Serve the stream of events as `text/event-stream`."""

from django.http import HttpResponse
from ninja import Router

from backups_portal.lib.wsgi_bridge import STREAM
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, anyone, presented
from backups_portal.tagoio_api.envelope import ApiError, DeniedError
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.streams.event_hub import Listener
from backups_portal.tagoio_api.streams.events import topic
from backups_portal.tagoio_api.streams.listening_rights import Claim

MAX_CHANNELS = 20

router = Router(tags=["Events"])


@router.get("/events", auth=anyone, summary="Listen to events")
def events(request: ApiRequest) -> HttpResponse:
    """Stream the events of `?channel=` or `?channels=`.

    They are `analysis_trigger`, `analysis_console.ID`, `device_inspector.ID` and `device_data.ID`.
    With `Last-Event-ID`, the stream begins with what came since.
    """
    query = query_strings.query_of(request)
    names = query_strings.texts(query.get("channels")) or query_strings.texts(query.get("channel"))
    if not names or len(names) > MAX_CHANNELS:
        raise ApiError(f"Name 1 to {MAX_CHANNELS} channels")
    caller, prefix = request.auth, request.auth.project.prefix
    topics = dict.fromkeys(topic(prefix, _own(caller, name)) for name in names)
    last = request.headers.get("Last-Event-ID", "")
    request.META[STREAM] = Listener(
        claim=Claim(prefix, presented(request), caller.token.permission),
        topics=list(topics),
        last=int(last) if last.isdecimal() and len(last) < 20 else 0,
    )
    response = HttpResponse(content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def _own(caller: Caller, channel: str) -> str:
    """Return the channel's published name, if the token may listen to it.

    Raises:
        ApiError: the token may not.
    """
    kind, _, about = channel.partition(".")
    token = caller.token
    if kind == "analysis_trigger" and token.kind == "analysis":
        return f"analysis_trigger.{token.analysis_id}"
    if about and about in (token.analysis_id, token.device_id):
        return channel
    # A trigger contains its analysis' token, which has full permission.
    if token.kind == "profile" and (kind != "analysis_trigger" or token.permission == "full"):
        return channel
    raise DeniedError
