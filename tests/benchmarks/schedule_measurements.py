"""Ticks, retention and sweeps over generated rows, and real projects with workers."""

import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Max, Min
from django.utils import timezone

from backups_portal.celery import app
from backups_portal.projects.project_creation import BackupSettings
from snapshots.engine.layout import MARKER, manifest_folder
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.models import Snapshot
from snapshots.retention.expiry import each_project_id, prune_each, prune_project
from snapshots.schedule.schedule_tick import due_rows, heal, queue_due
from snapshots.storages.configured_storages import snapshot_storage
from snapshots.storages.storage_marker import CONTENT
from snapshots.tasks import enqueue, run_schedule
from tests.benchmarks import generated_storage as generated
from tests.benchmarks.harness import MEGABYTE, Samples
from tests.benchmarks.machine import peak_growth, tree_cpu_seconds
from tests.benchmarks.portal import analyze
from tests.benchmarks.schedule import (
    DUE,
    KINDS,
    NEXT,
    RATE,
    RETENTION,
    SNAPSHOT_DAYS,
    STORED,
    SWEEP,
    tick,
)
from tests.benchmarks.servers import Cluster
from tests.conftest import running_worker
from tests.factories import make_account, make_project_row, make_snapshot
from tests.projectdatabases import add_rows, open_database
from tests.realprojects import database_of, make_project

# This many expired snapshots are enough for a rate.
ENOUGH = 1_000
WORKERS = 2
# Rows of a small project, and its new rows per day.
ROWS, NEW_ROWS = 1_000, 200
# The most seconds for a real project's backup without failures, and for the workers' start on a
# machine that also does other work.
SLOWEST, STARTING = 5.0, 60.0
EXPIRY, ORPHANS = (
    "snapshots.retention.expiry.right_storage",
    "snapshots.integrity.orphan_objects.snapshot_storage",
)
PROJECTS = """
    INSERT INTO projects_project (id, slug, name, state, prefix, server_id, database,
        role, sealed_password, created_by_id, created_at)
    SELECT gen_random_uuid(), 'bulk-' || n, 'Bulk ' || n, state, lpad(to_hex(n), 8, '0'),
        server_id, 'bulk_' || n, 'bulk_' || n, sealed_password, created_by_id, created_at
    FROM projects_project, generate_series(%s, %s) n WHERE id = %s"""
MAIN_DATABASES = """
    INSERT INTO projects_maindatabase (project_id, backup_time, backup_time_zone,
        retention_days, proof_policy, warm_restore, next_snapshot_at)
    SELECT p.id, '03:00', 'UTC', 7, 'off', false,
        %s::timestamptz + random() * interval '23 hours' + interval '1 hour'
    FROM projects_project p WHERE p.name LIKE 'Bulk %%'
        AND NOT EXISTS (SELECT FROM projects_maindatabase WHERE project_id = p.id)"""
MAKE_DUE = """
    UPDATE projects_maindatabase SET next_snapshot_at = %s WHERE project_id IN (
        SELECT id FROM projects_project WHERE name LIKE 'Bulk %%' LIMIT %s)"""
# These projects have no database, and would only delay those that do.
SET_ASIDE = """
    UPDATE projects_maindatabase SET next_snapshot_at = NULL
    WHERE project_id IN (SELECT id FROM projects_project WHERE name LIKE 'Bulk %%')"""
# {columns} and {values} are those of an existing snapshot.
SNAPSHOTS = """
    INSERT INTO snapshots_snapshot ({columns})
    SELECT {values} FROM snapshots_snapshot s, generate_series(1, %s) n,
        (SELECT id FROM projects_project WHERE name LIKE 'Bulk %%' LIMIT %s) p
    WHERE s.id = %s"""


def _execute(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def add_projects(first: int, last: int) -> None:
    """Add projects without a database, by number, that fall due within the next day."""
    _execute(PROJECTS, first, last, make_project_row().pk)
    _execute(MAIN_DATABASES, timezone.now())
    analyze()


def make_due(number: int) -> None:
    """Make this many projects due, and cancel earlier queued runs."""
    _execute(MAKE_DUE, timezone.now() - timedelta(minutes=1), number)
    forget_queued()
    analyze()


def forget_queued() -> None:
    _execute("DELETE FROM snapshots_snapshot WHERE state = 'queued'")


def add_snapshots(projects: int, days: int) -> None:
    """Add the generated storage's daily snapshots of some of the projects."""
    example = make_snapshot(
        make_project_row(),
        rows=generated.ROWS,
        table_rows={"variable": generated.ROWS},
        logical_bytes=generated.LOGICAL_BYTES,
        stored_bytes=generated.STORED_BYTES,
    )
    times = ("scheduled_for", "taken_at", "started_at", "finished_at")
    name = generated.SNAPSHOT_ID
    columns = {field.column: f"s.{field.column}" for field in Snapshot._meta.concrete_fields}
    columns |= {column: f"s.{column} - n * interval '1 day'" for column in times}
    columns |= {"id": name, "project_id": "p.id", "local_date": "s.local_date - n"}
    columns["manifest"] = f"p.id || '{manifest_folder('')}' || {name} || '.json'"
    statement = SNAPSHOTS.format(columns=", ".join(columns), values=", ".join(columns.values()))
    # Earlier ticks' rows hold the local dates that these take.
    forget_queued()
    _execute(statement, days, projects, example.pk)
    analyze()


def measure_tick(samples: Samples, among: int, due: int) -> None:
    make_due(due)
    now, start = timezone.now(), time.perf_counter()
    with samples.clock(tick(due, among)):
        ids = queue_due(now)
    enqueue(ids)
    sent = time.perf_counter()
    with samples.clock(f"overlooked {due} among {among}"):
        overlooked = heal(now)
    if len(ids) != due or overlooked:
        raise RuntimeError(f"{len(ids)} of {due} were queued, {len(overlooked)} overlooked")
    if due == DUE[-1]:
        samples.add(RATE, due / (sent - start))
    app.control.purge()


def plan_of_the_tick(due: int) -> str:
    """Return PostgreSQL's plan for finding and locking due projects, as just executed."""
    make_due(due)
    with transaction.atomic():
        return due_rows(timezone.now()).explain(analyze=True)


def measure_retention(samples: Samples, projects: int) -> None:
    add_snapshots(projects, SNAPSHOT_DAYS)
    now, grown = timezone.now(), peak_growth()
    with samples.clock("retention of everything"):
        found = sum(1 for _ in prune_each(now, dry_run=True))
    samples.record(RETENTION, MB=grown() / MEGABYTE)
    samples.add("snapshots judged", found)
    with patch(EXPIRY, return_value=generated.GeneratedStorage(SNAPSHOT_DAYS, now)):
        start, gone = time.perf_counter(), 0
        for project_id in each_project_id():
            gone += len(prune_project(project_id, now))
            if gone >= ENOUGH:
                break
    samples.add("snapshots let go a second", gone / (time.perf_counter() - start))


def measure_sweep(samples: Samples) -> None:
    """Sweep all projects that have snapshots one by one, as the sweep does."""
    stored = Snapshot.objects.completed().filter(project__name__startswith="Bulk ")
    after = stored.latest("taken_at").taken_at + timedelta(days=1)
    storage = generated.GeneratedStorage(SNAPSHOT_DAYS, after)
    with patch(ORPHANS, return_value=storage):
        grown, start = peak_growth(), time.perf_counter()
        ids = list(stored.order_by("project").values_list("project", flat=True).distinct())
        for project_id in ids:
            sweep_project(project_id)
        took = time.perf_counter() - start
    if storage.deletions != len(ids) * generated.ORPHANS:
        raise RuntimeError(f"{storage.deletions} orphans of {len(ids)} projects were removed")
    samples.record("sweep of everything", s=took)
    samples.record(SWEEP, MB=grown() / MEGABYTE)
    samples.add("projects swept a second", len(ids) / took)
    samples.add("manifests swept", storage.readings)


def measure_end_to_end(samples: Samples, cluster: Cluster, projects: int) -> None:
    """Tick on three days on which real projects fall due together, with a worker running.

    The worker is the demo's. Before the second day each project gets new rows, before the third
    none.
    """
    forget_queued()
    _execute(SET_ASIDE)
    # The generated backups are in no storage, and yet this is the right one.
    snapshot_storage().put_stored(MARKER, CONTENT)
    # Today's run is queued, so that the next one is tomorrow's.
    owner, due = make_account(), timezone.now().replace(second=0, microsecond=0)
    schedule = BackupSettings(due.time(), "UTC", 7, due)
    made = [make_project(f"Small {n}", owner, schedule, rows=ROWS) for n in range(projects)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        worker = stack.enter_context(
            running_worker(
                settings.SNAPSHOT_STORAGE,
                folder / "worker.log",
                processes=WORKERS,
                # A failure is counted, and not retried for an hour.
                environment={"SNAPSHOT_RETRY_MINUTES": ""},
            )
        )
        for day, kind in enumerate(KINDS):
            if kind == NEXT:
                for project in made:
                    with open_database(database_of(project)) as connection:
                        add_rows(connection, 1, NEW_ROWS)
            cluster.settle()
            before = tree_cpu_seconds(worker.pid), cluster.cpu()
            run_schedule(timezone.now() + timedelta(days=day))
            _wait(samples, [project.pk for project in made], due + timedelta(days=day), kind)
            used = tree_cpu_seconds(worker.pid) - before[0], cluster.cpu() - before[1]
            for name, seconds in zip(("worker", "server"), used, strict=True):
                samples.add(f"{kind} snapshot: {name} CPU ms", 1_000 * seconds / projects)


def _wait(samples: Samples, ids: list[UUID], since: datetime, kind: str) -> None:
    """Tick until every project has its snapshot of the day; record the snapshots per second."""
    start, again = time.monotonic(), 0
    while True:
        found = Snapshot.objects.filter(project__in=ids, scheduled_for__gte=since)
        rows: Any = found.values_list("state")
        states, took = dict(rows.annotate(Count("pk"))), time.monotonic() - start
        if not states.get("queued", 0) + states.get("running", 0):
            break
        if took > STARTING + len(ids) * SLOWEST:
            raise RuntimeError(f"not done after {took:.0f} s: {states}")
        time.sleep(0.5)
        again += len(run_schedule(timezone.now()).sent_again)
    if sum(states.values()) != len(ids):
        raise RuntimeError(f"{len(ids)} projects were due, and there is {states}")
    span = found.aggregate(start=Min("started_at"), end=Max("finished_at"))
    took = (span["end"] - span["start"]).total_seconds()
    samples.add(f"{kind} {STORED}", len(ids) / took)
    samples.add("snapshots that failed", len(ids) - states.get("completed", 0))
    samples.add("snapshots sent again", again)
