"""Handle messages queued before an upgrade, so that none is lost."""

import uuid
from datetime import datetime
from typing import Any

from celery import Task

from backups_portal.celery import app
from backups_portal.transfers.models import CsvRequest

# The task names in those messages begin with this.
QUEUED_AS = "backups_portal.api.tasks"


@app.task(name=f"{QUEUED_AS}.export_file", bind=True)
def export_file(  # noqa: PLR0913 - the six of those messages, and the task itself
    self: "Task[Any, None]",
    project_id: str,
    device_id: str,
    path: str,
    headers: bool,
    between: list[str] | None,
    token_id: str = "",
) -> None:
    """Queue an export; the next tick sends it."""
    since, until = map(datetime.fromisoformat, between) if between else (None, None)
    asked = {"work": "export", "device": device_id, "path": path, "token": token_id}
    period = {"headers": headers, "since": since, "until": until}
    # A redelivered message has the same id.
    _queue(uuid.UUID(self.request.id), project_id=project_id, **asked, **period)


@app.task(name=f"{QUEUED_AS}.import_file")
def import_file(
    project_id: str, job_id: str, device_id: str, path: str, token_id: str = "", again: bool = False
) -> None:
    """Queue an import; the next tick sends it."""
    asked = {"work": "import", "device": device_id, "path": path, "token": token_id}
    _queue(uuid.UUID(job_id.zfill(32)), project_id=project_id, **asked, again=again)


def _queue(pk: uuid.UUID, **asked: object) -> None:
    CsvRequest.objects.get_or_create(pk=pk, defaults=asked)
