"""What the benchmark of the schedule measures: ticks, retention, sweeps, lists, real projects."""

import time
from datetime import datetime, timedelta
from unittest.mock import patch
from uuid import UUID

from tests.benchmarks.cluster import Cluster
from tests.benchmarks.machine import peak_growth
from tests.benchmarks.pagesetup import build
from tests.benchmarks.samples import Samples
from tests.benchmarks.schedulesetup import (
    add_snapshots,
    forget_queued,
    make_due,
    real_projects,
    states_of,
    workers,
)
from tests.benchmarks.schedulestorage import ORPHANS, GeneratedStorage

DUE = (0, 100, 10_000)
SNAPSHOT_DAYS = 100
MEGABYTE = 1_000_000
# So many snapshots are let go for a rate.
ENOUGH = 1_000
FEW = 10
# What a real project's backup may take at most, in seconds, when everything goes well.
SLOWEST = 5.0
# Until two workers are there, on a machine that has other things to do.
STARTING = 60.0
STORAGES = (
    "snapshots.retention.expiry.snapshot_storage",
    "snapshots.integrity.orphan_objects.snapshot_storage",
)


def measure_tick(samples: Samples, among: int, due: int) -> None:
    """Queue what is due, send it, and look for what was overlooked."""
    from django.utils import timezone

    from snapshots.schedule.schedule_tick import heal, queue_due
    from snapshots.tasks import enqueue

    now = timezone.now()
    make_due(due, now)
    start = time.perf_counter()
    ids = queue_due(now)
    queued = time.perf_counter()
    enqueue(ids)
    sent = time.perf_counter()
    overlooked = heal(now)
    healed = time.perf_counter()
    if len(ids) != due or overlooked:
        raise RuntimeError(f"{len(ids)} of {due} were queued, {len(overlooked)} overlooked")
    samples.add(f"tick {due} among {among} s", queued - start)
    samples.add(f"overlooked {due} among {among} s", healed - sent)
    if due == DUE[-1]:
        samples.add("projects a second", due / (sent - start))
    _forget_messages()


def _forget_messages() -> None:
    from backups_portal.celery import app

    app.control.purge()


def plan_of_the_tick(due: int) -> str:
    """How PostgreSQL finds and locks what is due, as it has just done it."""
    from django.db import transaction
    from django.utils import timezone

    from snapshots.schedule.schedule_tick import due_rows

    now = timezone.now()
    make_due(due, now)
    with transaction.atomic():
        return due_rows(now).explain(analyze=True)


def measure_retention(samples: Samples, projects: int) -> None:
    """All that goes is judged, and some of it let go."""
    from django.utils import timezone

    from snapshots.retention.expiry import each_project_id, prune_each, prune_project

    now = timezone.now()
    add_snapshots(projects, SNAPSHOT_DAYS, now)
    grown, start = peak_growth(), time.perf_counter()
    found = sum(1 for _ in prune_each(now, dry_run=True))
    samples.add("retention of everything s", time.perf_counter() - start)
    samples.add("memory of retention MB", grown() / MEGABYTE)
    samples.add("snapshots judged", found)
    with patch(STORAGES[0], return_value=GeneratedStorage(SNAPSHOT_DAYS, now)):
        start, gone = time.perf_counter(), 0
        for project_id in each_project_id():
            gone += len(prune_project(project_id, now))
            if gone >= ENOUGH:
                break
    samples.add("snapshots let go a second", gone / (time.perf_counter() - start))


def measure_sweep(samples: Samples) -> None:
    """All projects that have snapshots, one after the other as the nightly sweep goes around."""
    from snapshots.integrity.orphan_objects import sweep_project

    storage, swept = GeneratedStorage(SNAPSHOT_DAYS, _taken_last() + timedelta(days=1)), 0
    with patch(STORAGES[1], return_value=storage):
        grown, start = peak_growth(), time.perf_counter()
        for project_id in _with_snapshots():
            sweep_project(project_id)
            swept += 1
        took = time.perf_counter() - start
    if storage.deletions != swept * ORPHANS:
        raise RuntimeError(f"{storage.deletions} orphans of {swept} projects were removed")
    samples.add("sweep of everything s", took)
    samples.add("memory of the sweep MB", grown() / MEGABYTE)
    samples.add("projects swept a second", swept / took)
    samples.add("manifests swept", storage.readings)


def _taken_last() -> datetime:
    from snapshots.models import Snapshot

    stored = Snapshot.objects.completed().filter(project__name__startswith="Bulk ")
    return stored.latest("taken_at").taken_at


def _with_snapshots() -> list[UUID]:
    from snapshots.models import Snapshot

    stored = Snapshot.objects.completed().filter(project__name__startswith="Bulk ")
    return list(stored.order_by("project").values_list("project", flat=True).distinct())


def measure_lists(samples: Samples, backups: int, times: int) -> None:
    """The first page of a project's backups: of one with few, and of one with many."""
    few, many = build(FEW), build(backups)
    for name, (visitor, pages) in (("few", few), ("many", many)):
        visitor.seconds(pages["backups"])
        samples.add(f"queries of a list of {name}", visitor.queries(pages["backups"]))
    for _ in range(times):
        for name, (visitor, pages) in (("few", few), ("many", many)):
            samples.add(f"list of {name} s", visitor.seconds(pages["backups"]))


def measure_end_to_end(samples: Samples, projects: int, cluster: Cluster) -> None:
    """Real projects fall due together; the schedule ticks while two workers back them up."""
    from django.utils import timezone

    from snapshots.tasks import run_schedule

    forget_queued()
    ids, again = real_projects(projects), 0
    with workers(2, cluster.scratch):
        start = time.monotonic()
        while True:
            again += len(run_schedule(timezone.now()).sent_again)
            states, took = states_of(ids), time.monotonic() - start
            if not states.get("queued", 0) + states.get("running", 0):
                break
            if took > STARTING + projects * SLOWEST:
                raise RuntimeError(f"not done after {took:.0f} s: {states}")
            time.sleep(0.5)
    if sum(states.values()) != projects:
        raise RuntimeError(f"{projects} projects were due, and there is {states}")
    samples.add("snapshots a second", projects / took)
    samples.add("snapshots that failed", projects - states.get("completed", 0))
    samples.add("snapshots sent again", again)
