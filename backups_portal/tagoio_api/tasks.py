"""Run the API's work in workers."""

import uuid
from datetime import datetime

import psycopg

from backups_portal.celery import app
from backups_portal.lib.json_types import JsonObject
from backups_portal.tagoio_api.files import csv_jobs

# Messages that an earlier version queued name the tasks so; an upgrade must not lose them.
QUEUED_AS = "backups_portal.api.tasks"

# A lock of somebody else goes by; each file says meanwhile who holds it.
AGAIN: JsonObject = {
    "autoretry_for": (psycopg.errors.LockNotAvailable,),
    "max_retries": 4,
    "retry_backoff": 60,
    "retry_jitter": False,
}


@app.task(name=f"{QUEUED_AS}.export_file", **AGAIN)
def export_file(
    project_id: str,
    device_id: str,
    path: str,
    headers: bool,
    between: list[str] | None,
    token_id: str = "",
) -> None:
    """Write a device's records as CSV."""
    start, end = (datetime.fromisoformat(text) for text in between) if between else (None, None)
    csv_jobs.export_file(
        uuid.UUID(project_id),
        device_id,
        path,
        token_id=token_id,
        headers=headers,
        between=(start, end) if start and end else None,
    )


@app.task(name=f"{QUEUED_AS}.import_file", **AGAIN)
def import_file(
    project_id: str, job_id: str, device_id: str, path: str, token_id: str = "", again: bool = False
) -> None:
    """Store the records of a CSV file."""
    csv_jobs.import_file(
        uuid.UUID(project_id), job_id, device_id, path, again=again, token_id=token_id
    )
