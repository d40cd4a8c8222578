"""Measures the schedule at scale: the tick, retention, a long list, and real small projects.

    python -m tests.benchmarks.schedule --projects 10k
    python -m tests.benchmarks.schedule --projects 1M --end-to-end 500 --json

The same work is done among a tenth of the projects and among all of them: what a tick takes must
not grow with those that are not due. Storage is untouched but by the projects of --end-to-end.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from rich.console import Console

from tests.benchmarks import report
from tests.benchmarks.cluster import Cluster, running_cluster
from tests.benchmarks.engine import count
from tests.benchmarks.goals import Goal, judge
from tests.benchmarks.machine import describe
from tests.benchmarks.pagesetup import build, portal_ready
from tests.benchmarks.peers import server_version
from tests.benchmarks.samples import Samples, Say
from tests.benchmarks.schedulesetup import (
    add_projects,
    add_snapshots,
    make_due,
    real_projects,
    states_of,
    workers,
)

DUE = (0, 100, 10_000)
SNAPSHOT_DAYS = 100
# So many snapshots are let go for a rate.
ENOUGH = 1_000


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.schedule", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--projects", type=count, default=10_000, help="rows of projects (default: 10k)")
    add("--rounds", type=int, default=5, help="how often each tick is run (default: 5)")
    add("--end-to-end", type=count, default=20, help="real projects to back up (default: 20)")
    add("--json", action="store_true", help="print figures as JSON")
    return parser.parse_args(arguments)


def run(cluster: Cluster, options: argparse.Namespace, say: Say) -> tuple[Samples, str]:
    """All figures, and the plan of the tick's query among all projects."""
    from django.utils import timezone

    samples, some = Samples(), options.projects // 10
    for first, last, name in ((1, some, "some"), (some + 1, options.projects, "all")):
        say(f"adding projects up to {last:,}")
        add_projects(first, last, timezone.now())
        for due in (due for due in DUE if due <= last):
            say(f"ticks among {last:,} projects with {due:,} due")
            for _ in range(options.rounds):
                _measure_tick(samples, name, due)
    plan = _plan_of_the_tick()
    say(f"retention of {options.projects:,} snapshots")
    _measure_retention(samples, options.projects // SNAPSHOT_DAYS)
    say("lists of backups")
    _measure_lists(samples)
    if options.end_to_end:
        say(f"{options.end_to_end:,} real projects")
        _measure_end_to_end(samples, options.end_to_end, cluster)
    return samples, plan


def _measure_tick(samples: Samples, name: str, due: int) -> None:
    from django.utils import timezone

    from snapshots.queueing import queue_due
    from snapshots.tasks import enqueue

    now = timezone.now()
    make_due(due, now)
    start = time.perf_counter()
    ids = queue_due(now)
    claimed = time.perf_counter()
    enqueue(ids)
    sent = time.perf_counter()
    if len(ids) != due:
        raise RuntimeError(f"{len(ids)} of {due} were queued")
    samples.add(f"tick {due} among {name} s", claimed - start)
    if due == DUE[-1]:
        samples.add("projects a second", due / (sent - start))
        _forget_messages()


def _forget_messages() -> None:
    from backups_portal.celery import app

    app.control.purge()


def _plan_of_the_tick() -> str:
    from django.utils import timezone

    from backups_portal.projects.models import MainDatabase, Project

    due = MainDatabase.objects.filter(
        next_snapshot_at__lte=timezone.now(), project__state=Project.State.ACTIVE
    )
    return due.order_by("next_snapshot_at")[:500].explain(analyze=True)


def _measure_retention(samples: Samples, projects: int) -> None:
    """All that goes is judged, and some of it let go. Their manifests do not exist."""
    from django.utils import timezone

    from snapshots.expiry import each_project_id, prune_each, prune_project

    now = timezone.now()
    add_snapshots(projects, SNAPSHOT_DAYS, now)
    before, start, found = _peak_kilobytes(), time.perf_counter(), 0
    for _ in prune_each(now, dry_run=True):
        found += 1
    samples.add("retention of everything s", time.perf_counter() - start)
    samples.add("memory of retention MB", (_peak_kilobytes() - before) / 1000)
    samples.add("snapshots judged", found)
    start, gone = time.perf_counter(), 0
    for project_id in each_project_id():
        gone += len(prune_project(project_id, now))
        if gone >= ENOUGH:
            break
    samples.add("snapshots let go a second", gone / (time.perf_counter() - start))


def _peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _measure_lists(samples: Samples) -> None:
    few, many = build(10), build(10_000)
    for name, (visitor, pages) in (("few", few), ("many", many)):
        visitor.seconds(pages["backups"])
        samples.add(f"queries of a list of {name}", visitor.queries(pages["backups"]))
    for _ in range(50):
        for name, (visitor, pages) in (("few", few), ("many", many)):
            samples.add(f"list of {name} s", visitor.seconds(pages["backups"]))


def _measure_end_to_end(samples: Samples, projects: int, cluster: Cluster) -> None:
    from snapshots.tasks import enqueue

    ids = real_projects(projects)
    with workers(2, cluster.scratch):
        start = time.perf_counter()
        enqueue(ids)
        while sum(states_of(ids).get(state, 0) for state in ("queued", "running")):
            time.sleep(0.1)
        took = time.perf_counter() - start
    states = states_of(ids)
    samples.add("snapshots a second", projects / took)
    samples.add("snapshots that failed", projects - states.get("completed", 0))


def goals() -> list[Goal]:
    """What the schedule is meant to reach."""

    def value(name: str) -> Callable[[Samples], float | None]:
        return lambda samples: samples.median(name)

    def among(due: int) -> Callable[[Samples], float | None]:
        return lambda s: s.ratio(f"tick {due} among all s", f"tick {due} among some s")

    def more_queries(samples: Samples) -> float | None:
        few, many = (samples.median(f"queries of a list of {name}") for name in ("few", "many"))
        return None if few is None or many is None else many - few

    return [
        *(Goal(f"tick with {due:,} due: all vs a tenth", among(due), 1.5, 1.2) for due in DUE),
        Goal(
            "claimed and sent, projects a second",
            value("projects a second"),
            2_000,
            None,
            "/s",
            more_is_better=True,
        ),
        Goal("memory of retention", value("memory of retention MB"), 64, 16, "MB"),
        Goal("list of 10,000 vs 10", lambda s: s.ratio("list of many s", "list of few s"), 1.3, 1),
        Goal("list of 10,000: more queries", more_queries, 0, None, "queries"),
        Goal("real snapshots that failed", value("snapshots that failed"), 0, None, "snapshots"),
    ]


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    console = Console(stderr=options.json)
    say: Callable[[str], Any] = partial(Console(stderr=True).print, markup=False)
    with running_cluster() as cluster, ExitStack() as stack:
        machine = describe(server_version(cluster.url))
        stack.enter_context(portal_ready(cluster))
        samples, plan = run(cluster, options, say)
    lines = judge(samples, goals())
    report.show_machine(console, machine)
    report.show_lines(console, lines, f"{options.projects:,} projects")
    console.print(plan, markup=False)
    if options.json:
        result = {
            "projects": options.projects,
            "machine": machine.as_dict(),
            "lines": [line.as_dict() for line in lines],
            "medians": {name: samples.median(name) for name in samples.values},
            "plan": plan.splitlines(),
        }
        sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
