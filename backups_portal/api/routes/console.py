"""The consoles of analyses: what scripts say while owners run them."""

from datetime import UTC, datetime
from typing import Any

from ninja import Router
from pydantic import Field

from backups_portal.api.bodies import Body
from backups_portal.api.envelope import ApiError
from backups_portal.api.events import publish
from backups_portal.api.identity import ApiRequest, analysis
from backups_portal.projectdb.analyses import write_console
from backups_portal.projectdb.records import RecordError, parse_moment

LONGEST = 100_000


class Line(Body):
    """What a script said, and when."""

    message: str = Field(max_length=LONGEST)
    # Milliseconds since 1970 (JavaScript) or a date (Python).
    timestamp: Any = None


router = Router(tags=["Analyses"])


@router.post("/analysis/services/console/send", auth=analysis, summary="Say something")
def send(request: ApiRequest, body: Line) -> str:
    """Kept with the analysis, and told to whoever follows its console."""
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
