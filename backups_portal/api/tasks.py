"""What workers do for the API."""

import uuid
from datetime import datetime

from backups_portal.api import csvjobs
from backups_portal.celery import app


@app.task
def export_file(
    project_id: str, device_id: str, path: str, headers: bool, between: list[str] | None
) -> None:
    """Write a device's records as CSV."""
    start, end = (datetime.fromisoformat(text) for text in between) if between else (None, None)
    csvjobs.export_file(
        uuid.UUID(project_id),
        device_id,
        path,
        headers=headers,
        between=(start, end) if start and end else None,
    )


@app.task
def import_file(project_id: str, job_id: str, device_id: str, path: str) -> None:
    """Store the records of a CSV file."""
    csvjobs.import_file(uuid.UUID(project_id), job_id, device_id, path)
