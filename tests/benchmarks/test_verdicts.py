"""The benchmarks' verdicts, options, and runs with small numbers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.benchmarks import api, lookinside, schedule
from tests.benchmarks.difference import measure
from tests.benchmarks.engine import __main__ as engine
from tests.benchmarks.engine.profiling import PROBES, Clock, locate
from tests.benchmarks.harness import Goal, Samples, count, judge

Verdict = tuple[float | None, bool | None, bool | None]


def judged(goals: Sequence[Goal], figures: dict[str, float]) -> dict[str, Verdict]:
    """Return the verdicts by the name of the goal."""
    samples = Samples()
    for name, value in figures.items():
        samples.add(name, value)
    lines = judge(samples, goals)
    return {line.goal.name: (line.value, line.reached_must, line.reached_aim) for line in lines}


@pytest.mark.parametrize(
    ("text", "rows"), [("200000", 200_000), ("200k", 200_000), ("5M", 5 * 10**6)]
)
def test_rows_may_be_abbreviated(text: str, rows: int) -> None:
    assert count(text) == rows


def test_an_unknown_measurement_is_refused() -> None:
    with pytest.raises(SystemExit):
        engine.parse(["--only", "everything"])


def test_a_goal_is_judged_by_medians() -> None:
    samples = Samples()
    for seconds, peer in ((1.0, 3.0), (9.0, 3.0), (1.0, 3.0)):
        samples.record("full snapshot", s=seconds)
        samples.record("pg_dump -Fc", s=peer)
    (line,) = judge(samples, engine.GOALS)
    assert (line.value, line.reached_must, line.reached_aim) == (3.0, True, False)


def test_what_was_not_measured_is_not_judged() -> None:
    assert judge(Samples(), [*engine.GOALS, *api.GOALS, *schedule.goals([100, 1_000])]) == []


def test_a_share_is_judged_in_percent() -> None:
    found = judged(engine.GOALS, {"restore and proof s": 5.0, "restore s": 4.0})
    assert found == {"proof on top of a restore": (25, True, False)}


def test_sending_is_judged_by_rows_a_second() -> None:
    (verdict,) = judged(api.GOALS, {f"{api.COPY} s": 1.0, f"{api.SEND} s": 1.25}).values()
    assert verdict == (0.8, True, False)


def test_the_last_value_is_judged_beside_a_query_and_an_empty_request() -> None:
    figures = {f"{api.EMPTY} s": 1.0, f"{api.BARE_LAST} s": 1.0, f"{api.LAST} s": 8.0}
    (verdict,) = judged(api.GOALS, figures).values()
    assert verdict == (4.0, False, None)


@pytest.mark.parametrize(("among_many", "verdict"), [(3, (0, True, None)), (4, (1, False, None))])
def test_one_more_query_for_more_devices_is_one_too_many(among_many: int, verdict: Verdict) -> None:
    figures = dict(zip(api.QUERIES.values(), (3, among_many), strict=True))
    assert list(judged(api.GOALS, figures).values()) == [verdict]


def test_ticks_are_measured_while_projects_become_more() -> None:
    assert schedule.sizes_of(1_000_000) == [10_000, 100_000, 1_000_000]
    assert schedule.sizes_of(5) == [1, 5]


@pytest.mark.parametrize(("among_all", "is_flat"), [(1.5, True), (1.6, False)])
def test_a_tick_is_judged_beside_one_among_fewer_projects(among_all: float, is_flat: bool) -> None:
    figures = {"tick 100 among 100 s": 1.0, "tick 100 among 10000 s": among_all}
    found = judged(schedule.goals([100, 10_000]), figures)
    assert found == {"tick with 100 due: 10,000 projects vs 100": (among_all, is_flat, False)}


@pytest.mark.parametrize(("tables", "is_reached"), [(0, True), (1, False)])
def test_what_is_due_is_found_by_an_index(tables: int, is_reached: bool) -> None:
    found = judged(schedule.goals([100]), {schedule.SEQUENTIAL: tables})
    assert found == {schedule.SEQUENTIAL: (tables, is_reached, None)}


def run_benchmark(name: str, *options: str) -> dict[str, Any]:
    """Run a benchmark and return its JSON; it starts servers, and has settings only if it asks."""
    given = {"DATABASE_URL", "REDIS_URL", "PROJECT_DATABASE_URL", "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{name}", *options, "--json"],
        env={name: value for name, value in os.environ.items() if name not in given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_the_schedule_is_measured() -> None:
    found = run_benchmark("schedule", "--projects=100", "--rounds=1", "--end-to-end=2")
    assert found["medians"]["snapshots that failed"] == 0
    assert found["medians"]["manifests swept"] == 100
    assert found["medians"]["unchanged snapshots a second"] > 0
    assert "LockRows" in "".join(found["plans"]["100"])


def test_the_engine_is_measured() -> None:
    found = run_benchmark("engine", "--rows=1k", "--rounds=1", "--only=restore,next")
    assert found["medians"]["restore s"] > 0
    assert found["medians"]["next snapshot s"] > 0


def test_moves_are_measured() -> None:
    found = run_benchmark("transfer", "--rows=1k", "--rounds=1", "--sdk-devices=0")
    (figures,) = found["sizes"].values()
    assert figures["medians"]["move s"] > 0


def test_each_case_of_a_comparison_differs_as_it_says() -> None:
    result = measure(rows=10_000, devices=50, days=20)
    assert result["the newest day"]["days"] == 1
    assert result["the newest day"]["devices"] == 50
    assert result["every hundredth cell"]["days"] == 10
    assert result["everything"]["days"] == 20


def test_looking_inside_finds_what_is_there() -> None:
    size = lookinside.Size(rows=20_000, devices=10, variables=4, days=5)
    result = lookinside.measure(size)
    a_day = lookinside.A_DAY
    for place in ("folder", "folder, encrypted", "S3 on loopback"):
        assert result[f"first page of records, {place}"]["found"] == lookinside.LINES
        assert a_day < result[f"chart, {place}"]["found"] <= a_day * size.days
        rows = (a_day + size.each * (size.variables - 1)) * size.days
        assert result[f"variables, {place}"]["found"] == rows
        assert result[f"CSV, {place}"]["found"] > 50 * rows


@pytest.mark.parametrize("place", [place for _, place in PROBES])
def test_every_probe_finds_its_function(place: str) -> None:
    holder, name = locate(place)
    assert callable(getattr(holder, name))


def test_a_part_does_not_count_what_parts_inside_it_take() -> None:
    clock, start = Clock(), time.perf_counter()
    with clock.running("outer"), clock.running("inner"):
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass
    assert clock.parts["inner"].wall >= 0.02
    together = clock.parts["outer"].wall + clock.parts["inner"].wall
    assert together <= time.perf_counter() - start
