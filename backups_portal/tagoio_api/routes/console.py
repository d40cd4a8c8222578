"""Receive the console lines of running scripts."""

from datetime import UTC, datetime

from ninja import Router
from pydantic import Field

from backups_portal.projectdb.analyses import write_console
from backups_portal.projectdb.records import RecordError, parse_moment
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, analysis
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests.json_bodies import Body
from backups_portal.tagoio_api.streams.events import publish

MAX_MESSAGE = 100_000


class Line(Body):
    """A line that a script wrote, and when."""

    message: str = Field(max_length=MAX_MESSAGE)
    # Milliseconds since 1970 (JavaScript) or a date (Python).
    timestamp: object = None


router = Router(tags=["Analyses"])


@router.post("/analysis/services/console/send", auth=analysis, summary="Write to the console")
def send(request: ApiRequest, body: Line) -> str:
    """Keep a line with the analysis, and publish it to its followers."""
    caller = request.auth
    try:
        time = datetime.now(UTC) if body.timestamp is None else parse_moment(body.timestamp)
    except RecordError as error:
        raise ApiError("Invalid timestamp") from error
    analysis_id = caller.token.analysis_id or ""
    write_console(caller.connection, analysis_id, [body.message], time=time)
    channel = f"analysis_console.{analysis_id}"
    payload = {"timestamp": time, "message": body.message}
    publish(caller.project.prefix, channel, channel, payload)
    return "Console Sent"
