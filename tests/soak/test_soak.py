"""The parts of the soak: days that pass, rules for ingest, faults, verdicts."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from django.utils import timezone

from backups_portal.demo.child_processes import Program, start
from backups_portal.demo.data_folder import opened
from backups_portal.demo.process_identity import start_mark
from backups_portal.projects.due_times import next_run
from backups_portal.projects.models import MainDatabase
from restores.models import Proof
from snapshots.models import Snapshot
from snapshots.retention.expiry import prune_project
from snapshots.schedule.schedule_tick import queue_due
from tests.benchmarks.harness import Samples, judge
from tests.factories import make_project_row, make_snapshot
from tests.processes import tree
from tests.projectdatabases import add_device, main_database, open_database
from tests.soak.__main__ import parse
from tests.soak.beat import compressed
from tests.soak.days import as_it_was, missing_dates, pass_day
from tests.soak.ingest import NOTHING, Contents, Truth, choose, groups_in, perform
from tests.soak.judgement import goals, logged_errors
from tests.soak.processes import Fault, Outages, Service, faults
from tests.soak.watching import Connections, Counting, growth, quarters, surplus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def dates_of(snapshots: list[Snapshot]) -> list[date]:
    return sorted(snapshot.local_date for snapshot in snapshots)


@pytest.mark.django_db
def test_a_project_is_due_once_each_day_that_passes() -> None:
    project, now = make_project_row(), timezone.now()
    MainDatabase.objects.update(next_snapshot_at=next_run(now, datetime.min.time(), "UTC"))
    assert queue_due(now) == []
    for number in (1, 2, 3):
        pass_day(project.pk)
        assert len(queue_due(now)) == 1
        assert queue_due(now) == []
        assert Snapshot.objects.count() == number
    first, *_, last = dates_of(list(Snapshot.objects.all()))
    assert (last - first).days == 2


@pytest.mark.django_db
def test_what_a_project_has_becomes_a_day_older_and_nothing_of_another_does() -> None:
    project, other = make_project_row(), make_project_row()
    for days in range(3):
        make_snapshot(project, taken_at=NOW - timedelta(days=days))
    make_snapshot(other, taken_at=NOW)
    pass_day(project.pk)
    mine, others = (list(Snapshot.objects.filter(project=one)) for one in (project, other))
    assert dates_of(mine) == [date(2026, 2, 26), date(2026, 2, 27), date(2026, 2, 28)]
    assert max(one.taken_at for one in mine if one.taken_at) == NOW - timedelta(days=1)
    assert [one.taken_at for one in others] == [NOW]


@pytest.mark.django_db
def test_retention_lets_go_of_what_days_have_made_old() -> None:
    project, now = make_project_row(), timezone.now()
    MainDatabase.objects.update(retention_days=1)
    old = make_snapshot(project, taken_at=now, local_date=now.date() - timedelta(days=1))
    pass_day(project.pk)
    make_snapshot(project, taken_at=now)
    assert [pruned.snapshot_id for pruned in prune_project(project.pk, now)] == [old.pk]


@pytest.mark.django_db
def test_a_proof_under_way_does_not_age() -> None:
    snapshot = make_snapshot(make_project_row(), taken_at=NOW)
    under_way = Proof.objects.create(snapshot=snapshot, created_at=NOW)
    ended = Proof.objects.create(
        snapshot=snapshot, created_at=NOW, state=Proof.State.PASSED, finished_at=NOW
    )
    pass_day(snapshot.project_id)
    under_way.refresh_from_db()
    ended.refresh_from_db()
    assert (under_way.created_at, ended.created_at) == (NOW, NOW - timedelta(days=1))


def test_the_days_that_were_taken_from_a_moment_can_be_given_back() -> None:
    moment = NOW - timedelta(minutes=7)
    assert as_it_was(moment - timedelta(days=3), NOW) == moment
    assert as_it_was(moment, NOW) == moment


def test_a_date_without_a_snapshot_is_missed() -> None:
    days = [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 4)]
    assert (missing_dates(days), missing_dates(days[:2]), missing_dates([])) == (1, 0, 0)


def test_beat_is_as_much_faster_as_its_days_are_shorter_up_to_a_limit() -> None:
    assert compressed(timedelta(hours=6), 120) == 30
    assert compressed(60.0, 120) == 5


def test_each_round_has_every_fault_and_a_seed_decides_their_order() -> None:
    kinds = list(islice(faults(random.Random(1)), 9))  # noqa: S311
    assert set(kinds) == set(Fault)
    assert kinds == list(islice(faults(random.Random(1)), 9))  # noqa: S311
    assert kinds != list(islice(faults(random.Random(2)), 9))  # noqa: S311


def test_a_snapshot_has_what_was_committed_before_and_may_have_what_was_under_way() -> None:
    truth = Truth()
    for group, rows, begun, ended in (("a", 10, 1, 2), ("b", 5, 98, 103), ("c", 3, 200, 201)):
        change = truth.begin(group, Contents(rows, 0), at=begun)
        truth.end(change, group, Contents(rows, 0), at=ended)
    assert truth.bounds(100, 101) == (10, 15)
    truth.begin("a", NOTHING, at=99)
    assert truth.bounds(100, 101) == (0, 15)


def test_what_was_not_committed_is_taken_back() -> None:
    truth = Truth()
    truth.take_back(truth.begin("a", Contents(4, 4), at=1))
    assert truth.bounds(100, 101) == (0, 0)
    assert truth.differences({}) == []


def test_groups_that_are_missing_changed_or_unknown_are_told() -> None:
    truth = Truth({"kept": Contents(1, 1), "cut": Contents(2, 2), "gone": Contents(3, 3)})
    found = {"kept": Contents(1, 1), "cut": Contents(1, 2), "unknown": Contents(1, 1)}
    assert truth.differences(found) == ["cut", "gone", "unknown"]


@pytest.mark.django_db
def test_operations_leave_a_database_as_the_truth_says() -> None:
    rng, truth = random.Random(3), Truth()  # noqa: S311
    kinds = set()
    with main_database() as target, open_database(target) as connection:
        add_device(connection)
        for _ in range(60):
            operation = choose(rng, truth)
            change = truth.begin(operation.group, operation.after, at=1)
            perform(connection, target.prefix, operation)
            truth.end(change, operation.group, operation.after, at=2)
            kinds.add(operation.kind)
        found = groups_in(connection)
    assert kinds == {"inserted", "corrected", "deleted"}
    assert truth.differences(found) == []


@pytest.fixture
def counting() -> Callable[[int], list[str]]:
    """Return a check of a snapshot's rows, of which ten were written long before it."""

    def count(rows: int) -> list[str]:
        now = timezone.now()
        snapshot = make_snapshot(make_project_row(), taken_at=now, table_rows={"variable": rows})
        truth = Truth()
        change = truth.begin("a", Contents(10, 0), at=1)
        truth.end(change, "a", Contents(10, 0), at=2)
        watched = Counting({snapshot.project_id: truth})
        watched.look()
        watched.look()
        assert watched.seen == 1
        return watched.wrong

    return count


@pytest.mark.django_db
def test_a_snapshot_with_a_row_too_few_or_too_many_is_found(
    counting: Callable[[int], list[str]],
) -> None:
    assert counting(10) == []
    assert len(counting(9)) == 1
    assert len(counting(11)) == 1


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service with a process of its own."""
    with opened(tmp_path / "var") as folder:
        program = Program("pair", ["/bin/sh", "-c", "sleep 300 & sleep 300"])
        service = Service("pair", lambda: start(program, folder))
        wait_for(lambda: len(pids_of(service)) == 3)
        yield service
        service.kill()


def pids_of(service: Service) -> list[int]:
    return [process.pid for process in tree(service.child.pid)]


def wait_for(is_so: Callable[[], bool]) -> None:
    for _ in range(200):
        if is_so():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that")


def test_what_is_killed_is_gone_with_its_processes_and_starts_again(service: Service) -> None:
    before = pids_of(service)
    service.kill()
    assert [pid for pid in before if start_mark(pid)] == []
    service.start()
    assert service.child.exit_code() is None
    assert service.ended == 0


def test_what_ends_by_itself_is_counted_and_started_again(service: Service) -> None:
    service.supervise()
    assert service.ended == 0
    os.kill(service.child.pid, signal.SIGKILL)
    wait_for(lambda: service.child.exit_code() is not None)
    service.supervise()
    assert service.ended == 1
    assert service.child.exit_code() is None


def test_only_who_met_an_outage_is_excused() -> None:
    outages = Outages(spans=[("redis", 100.0, 110.0)])
    assert outages.touch(112, 113)
    assert not outages.touch(120, 121)
    assert not outages.touch(104, 105, server="postgres")


def test_errors_are_told_that_were_logged_while_nothing_was_away(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    lines = [f"2026-03-01 12:0{minute}:00,123 ERROR taking snapshot {minute}" for minute in "059"]
    log.write_text("\n".join([*lines, "2026-03-01 12:09:00,123 INFO fine"]))
    begin = datetime.fromisoformat("2026-03-01 12:05:00").timestamp()
    outages = Outages(spans=[("postgres", begin, begin + 1)], offset=0)
    assert logged_errors([log], outages) == {"taking snapshot …": 2}


def test_growth_is_that_of_the_last_quarter_over_the_first() -> None:
    assert quarters([50, *[100] * 10, *[110] * 9]) == (100, 110)
    assert growth([50, *[100] * 10, *[110] * 9]) == 1.1
    assert growth([100]) is None


def test_connections_that_nobody_needs_are_counted() -> None:
    assert surplus(Connections({"soak-web": 8, "soak-worker0": 1}, 0), threads_of_web=8) == 0
    assert surplus(Connections({"soak-web": 9, "soak-worker0": 2}, 0), threads_of_web=8) == 2
    assert surplus(Connections({"soak-worker0": 1}, 1), threads_of_web=8) == 1


def test_one_trouble_of_any_kind_is_one_too_many() -> None:
    troubles, samples = {"orphan objects": 1, "wrong charges": 0}, Samples()
    for name, count in troubles.items():
        samples.add(name, count)
    lines = judge(samples, goals(troubles))
    assert [line.goal.name for line in lines if not line.reached_must] == ["orphan objects"]


def test_it_is_as_long_as_its_figures_are_asked_for() -> None:
    options = parse([])
    assert (options.minutes, options.projects) == (20, 200)
