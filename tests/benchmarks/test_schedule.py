"""The benchmark of the schedule: its verdicts, and a run with small numbers."""

import json
import os
import subprocess
import sys

import pytest

from tests.benchmarks.goals import judge
from tests.benchmarks.samples import Samples
from tests.benchmarks.schedule import sizes_of
from tests.benchmarks.schedulegoals import SEQUENTIAL, goals


def judged(**values: float) -> dict[str, bool | None]:
    samples = Samples()
    for name, value in values.items():
        samples.add(name.replace("_", " "), value)
    return {line.goal.name: line.reached_must for line in judge(samples, goals([100, 10_000]))}


def test_ticks_are_measured_while_projects_become_more() -> None:
    assert sizes_of(1_000_000) == [10_000, 100_000, 1_000_000]
    assert sizes_of(5) == [1, 5]


@pytest.mark.parametrize(("among_all", "is_flat"), [(1.5, True), (1.6, False)])
def test_a_tick_is_judged_beside_one_among_fewer_projects(among_all: float, is_flat: bool) -> None:
    found = judged(tick_100_among_100_s=1.0, tick_100_among_10000_s=among_all)
    assert found == {"tick with 100 due: 10,000 projects vs 100": is_flat}


def test_what_is_due_is_found_by_an_index() -> None:
    assert judged(**{SEQUENTIAL: 1}) == {SEQUENTIAL: False}
    assert judged(**{SEQUENTIAL: 0}) == {SEQUENTIAL: True}


def test_it_runs() -> None:
    options = ["--projects", "100", "--rounds", "1", "--backups", "20", "--end-to-end", "2"]
    ran = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.schedule", *options, "--json"],
        # It has servers of its own.
        env={name: value for name, value in os.environ.items() if not name.endswith("_URL")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout)
    assert found["medians"]["snapshots that failed"] == 0
    assert found["medians"]["manifests swept"] == 100
    assert "LockRows" in "".join(found["plans"]["100"])
