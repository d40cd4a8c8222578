"""Rows of a control database as large as wanted, and real small projects with workers."""

import os
import subprocess
import sys
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.processes import end_group

WORKER_SECONDS = 120.0


def add_projects(first: int, last: int, now: datetime) -> None:
    """Projects without a database, by their numbers, whose runs lie within the next day."""
    from django.db import connection

    from tests.factories import make_project_row

    example = make_project_row()
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO projects_project (id, slug, name, state, prefix, server_id, database,
                   role, sealed_password, created_by_id, created_at)
               SELECT gen_random_uuid(), 'bulk-' || n, 'Bulk ' || n, state, lpad(to_hex(n), 8, '0'),
                   server_id, 'bulk_' || n, 'bulk_' || n, sealed_password, created_by_id, created_at
               FROM projects_project, generate_series(%s, %s) n WHERE id = %s""",
            [first, last, example.pk],
        )
        cursor.execute(
            """INSERT INTO projects_maindatabase (project_id, backup_time, backup_time_zone,
                   retention_days, proof_policy, warm_restore, next_snapshot_at)
               SELECT p.id, '03:00', 'UTC', 7, 'off', false,
                   %s::timestamptz + random() * interval '23 hours' + interval '1 hour'
               FROM projects_project p
               WHERE p.name LIKE 'Bulk %%'
                   AND NOT EXISTS (SELECT FROM projects_maindatabase WHERE project_id = p.id)""",
            [now],
        )
    _analyze()


def make_due(number: int, now: datetime) -> None:
    """Let the runs of some of them have come."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE projects_maindatabase SET next_snapshot_at = %s WHERE project_id IN (
                   SELECT id FROM projects_project WHERE name LIKE 'Bulk %%' LIMIT %s)""",
            [now - timedelta(minutes=1), number],
        )
    forget_queued()
    _analyze()


def add_snapshots(projects: int, days: int, now: datetime) -> None:
    """Stored snapshots of some of the projects, one a day."""
    from django.db import connection

    from snapshots.engine.layout import manifest_folder
    from tests.benchmarks.schedulestorage import LOGICAL_BYTES, ROWS, SNAPSHOT_ID, STORED_BYTES
    from tests.factories import make_project_row, make_snapshot

    example = make_snapshot(
        make_project_row(),
        taken_at=now,
        rows=ROWS,
        table_rows={"variable": ROWS},
        logical_bytes=LOGICAL_BYTES,
        stored_bytes=STORED_BYTES,
    )
    columns = [field.column for field in type(example)._meta.concrete_fields]
    changed = {
        "id": SNAPSHOT_ID,
        "project_id": "p.id",
        "local_date": "local_date - n",
        **{
            name: f"{name} - n * interval '1 day'"
            for name in ("scheduled_for", "taken_at", "started_at", "finished_at")
        },
        # Those of GeneratedStorage.
        "manifest": f"p.id || '{manifest_folder('')}' || {SNAPSHOT_ID} || '.json'",
    }
    values = ", ".join(changed.get(column, f"s.{column}") for column in columns)
    # Of the ticks before, whose local dates these take.
    forget_queued()
    with connection.cursor() as cursor:
        cursor.execute(
            f"""INSERT INTO snapshots_snapshot ({", ".join(columns)})
                SELECT {values.replace("s.project_id", "p.id")}
                FROM snapshots_snapshot s, generate_series(1, %s) n,
                    (SELECT id FROM projects_project WHERE name LIKE 'Bulk %%' LIMIT %s) p
                WHERE s.id = %s""",
            [days, projects, example.pk],
        )
    _analyze()


def _analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        # As autovacuum does within a minute.
        cursor.execute("VACUUM ANALYZE")


def forget_queued() -> None:
    """Let no tick find snapshots of projects that have no database."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM snapshots_snapshot WHERE state = 'queued'")


def real_projects(number: int) -> list[UUID]:
    """Projects with databases of 100 readings, whose runs have come."""
    from django.conf import settings
    from django.utils import timezone

    from backups_portal.projects.database_dsn import project_dsn
    from backups_portal.projects.project_creation import BackupSettings, create_project
    from backups_portal.projects.servers import DEFAULT_NAME, register_server
    from tests.factories import make_account
    from tests.projectdatabases import Target, add_device, add_rows, open_database

    register_server(DEFAULT_NAME, settings.PROJECT_DATABASE_URL)
    # Today's run, so that the next one is tomorrow's.
    owner, due = make_account(), timezone.now().replace(second=0, microsecond=0)
    ids = []
    for place in range(number):
        project = create_project(
            name=f"Small {place}", owner=owner, settings=BackupSettings(due.time(), "UTC", 7, due)
        )
        with open_database(Target(project_dsn(project), project.prefix)) as source:
            add_device(source)
            add_rows(source, 0, 100)
        ids.append(project.pk)
    return ids


@contextmanager
def workers(number: int, scratch: Path) -> Iterator[None]:
    """So many workers of one process, that have answered a ping."""
    from backups_portal.celery import app

    command = [
        *(sys.executable, "-m", "celery", "-A", "backups_portal", "worker", "--loglevel=ERROR"),
        *("--concurrency=1", "--without-gossip", "--without-mingle"),
    ]
    started = []
    try:
        for place in range(number):
            with (scratch / f"worker{place}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [*command, "-n", f"worker{place}@%h"],
                        # What fails is counted, and not tried again for an hour.
                        env={**os.environ, "SNAPSHOT_RETRY_MINUTES": ""},
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        process_group=0,
                    )
                )
        deadline = clock.monotonic() + WORKER_SECONDS
        while len(app.control.ping(timeout=1.0)) < number:
            if clock.monotonic() > deadline:
                raise RuntimeError("the workers did not answer")
        yield
    finally:
        for worker in started:
            end_group(worker)


def states_of(project_ids: list[UUID]) -> dict[str, int]:
    """How many snapshots of the projects are in each state."""
    from django.db.models import Count

    from snapshots.models import Snapshot

    rows: Any = Snapshot.objects.filter(project__in=project_ids).values_list("state")
    return dict(rows.annotate(Count("pk")))
