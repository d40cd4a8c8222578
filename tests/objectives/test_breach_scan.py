"""Scans find breaches, and record and report each once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.objectives.breach_scan import find_breaches
from backups_portal.objectives.models import Breach, Objective
from backups_portal.objectives.objective_settings import change_objectives
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.projects.shutdown import shut_down, start_again
from snapshots.models import Snapshot
from tests import factories
from tests.at_once import at_once
from tests.objectives.conftest import HOUR, at, make_objective, spells_of

pytestmark = pytest.mark.django_db
TIME = Objective.Kind.TIME


def store(project: Project, hours: float, **fields: Any) -> Snapshot:
    """Add a backup that was taken at an hour, and stored at once."""
    # Each needs a different date, however close they are.
    day = at(24 * Snapshot.objects.filter(project=project).count()).date()
    values = {"finished_at": at(hours), "local_date": day, **fields}
    return factories.make_snapshot(project, taken_at=at(hours), **values)


def told(project: Project) -> list[str]:
    """Return the recorded events of its objectives, except owners' changes."""
    events = AuditEvent.objects.filter(
        project_id=project.pk, action__in=("objective.missed", "objective.met")
    )
    return [event.action.removeprefix("objective.") for event in events.order_by("pk")]


class TestRecoveryPoint:
    def test_it_breaks_once_and_is_met_again_once(self, project: Project) -> None:
        make_objective(project)
        store(project, 0)
        judged = [find_breaches(at(hours)) for hours in (1, 26, 26.1, 27, 30)]
        assert judged == [0, 0, 1, 0, 0], "one that lasts is no news"
        assert spells_of(project) == [(26, None, "")]
        assert told(project) == ["missed"]
        store(project, 31)
        for hours in (31.5, 32, 40):
            find_breaches(at(hours))
        assert spells_of(project) == [(26, 31, "met")]
        assert told(project) == ["missed", "met"]
        assert Breach.objects.get().worst == 31 * HOUR

    def test_the_events_say_what_and_since_when(self, project: Project) -> None:
        MainDatabase.objects.update(backup_time_zone="Europe/Berlin")
        make_objective(project)
        store(project, 0)
        find_breaches(at(27))
        store(project, 31)
        find_breaches(at(32))
        missed, met = AuditEvent.objects.order_by("pk")
        assert missed.subject == met.subject == "Recovery point: at most 26 hours"
        assert (
            "Since 24 Nov 2026, 06:00 CET, the newest good backup is older"
            in missed.details["reason"]
        )
        assert (
            "Missed from 24 Nov 2026, 06:00 CET to 24 Nov 2026, 11:00 CET" in met.details["reason"]
        )
        assert missed.account_id is None

    def test_what_happened_while_nothing_ran_is_found_afterwards(self, project: Project) -> None:
        make_objective(project)
        store(project, 0)
        find_breaches(at(1))
        for hours in (50, 74, 120):
            store(project, hours)
        find_breaches(at(121))
        assert spells_of(project) == [(26, 50, "met"), (100, 120, "met")]
        assert told(project) == ["missed", "met"] * 2

    def test_a_failed_backup_does_not_count(self, project: Project) -> None:
        make_objective(project)
        store(project, 0)
        store(project, 24, state="failed")
        find_breaches(at(27))
        assert spells_of(project) == [(26, None, "")]

    def test_one_that_fails_its_proof_does_not_count_any_more(self, project: Project) -> None:
        make_objective(project)
        store(project, 0)
        newest = store(project, 24)
        find_breaches(at(25))
        find_breaches(at(40))
        assert spells_of(project) == []
        Snapshot.objects.filter(pk=newest.pk).update(
            verdict="failed", verdict_reason="A row differs.", proven_at=at(41)
        )
        find_breaches(at(41))
        assert spells_of(project) == [(26, None, "")], "it began before anybody knew"
        Snapshot.objects.filter(pk=newest.pk).update(verdict="passed", proven_at=at(42))
        find_breaches(at(42))
        assert spells_of(project) == [(26, 42, "met")]
        find_breaches(at(43))
        assert told(project) == ["missed", "met"]

    def test_one_that_was_old_before_is_missed_from_its_beginning(self, project: Project) -> None:
        store(project, -31)
        make_objective(project)
        find_breaches(at(0.1))
        assert spells_of(project) == [(0, None, "")]

    def test_a_backup_that_has_expired_counted_while_it_was_there(self, project: Project) -> None:
        make_objective(project)
        store(project, 0)
        find_breaches(at(1))
        store(project, 24, state="expired")
        store(project, 48)
        find_breaches(at(49))
        assert spells_of(project) == []

    @pytest.mark.parametrize(("hours", "spells"), [(23, []), (24.5, [(24, None, "")])])
    def test_without_a_backup_it_counts_once_the_first_was_due(
        self, project: Project, hours: float, spells: list[Any]
    ) -> None:
        make_objective(project)
        find_breaches(at(1))
        find_breaches(at(hours))
        assert spells_of(project) == spells

    def test_a_day_of_25_hours(self, project: Project) -> None:
        """Clocks in Berlin are set back on 25 October: 03:00 comes 25 hours later."""
        saturday = -29 * 24 - 2
        project.created_at = at(saturday - 100)
        project.save()
        make_objective(project, 26, began=saturday)
        store(project, saturday)
        store(project, saturday + 25)
        find_breaches(at(saturday + 25.1))
        assert spells_of(project) == []


class TestRecoveryTime:
    def prove(self, project: Project, hours: float, minutes: float) -> None:
        store(
            project,
            hours,
            verdict="passed",
            proven_at=at(hours),
            restore_seconds=minutes * 60,
        )

    def test_from_a_slow_proof_to_a_quick_one(self, project: Project) -> None:
        make_objective(project, 30, kind=TIME)
        for hours, minutes in ((24, 12), (48, 45), (72, 50), (96, 30)):
            self.prove(project, hours, minutes)
            find_breaches(at(hours + 0.1))
            find_breaches(at(hours + 0.2))
        assert spells_of(project) == [(48, 96, "met")]
        assert told(project) == ["missed", "met"]
        assert Breach.objects.get().worst == timedelta(minutes=50)
        reason = AuditEvent.objects.order_by("pk").first().details["reason"]
        assert reason.startswith("Restoring took 45\N{NO-BREAK SPACE}min when it was measured")

    def test_what_was_measured_before_counts(self, project: Project) -> None:
        self.prove(project, -24, 45)
        make_objective(project, 30, kind=TIME)
        find_breaches(at(0.1))
        find_breaches(at(0.2))
        assert spells_of(project) == [(0, None, "")]

    def test_a_proof_that_becomes_visible_after_a_round(self, project: Project) -> None:
        make_objective(project, 30, kind=TIME)
        find_breaches(at(24))
        self.prove(project, 24 - 0.01, 45)
        find_breaches(at(24.02))
        find_breaches(at(24.04))
        assert spells_of(project) == [(23.99, None, "")]
        assert told(project) == ["missed"]

    def test_nothing_measured_is_neither(self, project: Project) -> None:
        make_objective(project, 30, kind=TIME)
        store(project, 24)
        find_breaches(at(1000))
        assert spells_of(project) == []


class TestChanges:
    def test_an_old_breach_stays_history(self, project: Project, owner: Account) -> None:
        store(project, 0)
        make_objective(project)
        find_breaches(at(30))
        change = {"max_loss_hours": 28}
        change_objectives(project=project, actor=owner, wanted=change, now=at(31))
        assert spells_of(project) == [(26, 31, "changed")]
        find_breaches(at(31.1))
        assert spells_of(project) == [(26, 31, "changed"), (31, None, "")]
        change_objectives(project=project, actor=owner, wanted={"max_loss_hours": 48}, now=at(32))
        find_breaches(at(32.1))
        assert spells_of(project)[1] == (31, 32, "changed")
        change_objectives(project=project, actor=owner, wanted={"max_loss_hours": None}, now=at(33))
        find_breaches(at(1000))
        assert len(spells_of(project)) == 2
        assert told(project) == ["missed", "missed"]

    def test_what_the_last_minute_brought_is_judged_by_the_old_one(
        self, project: Project, owner: Account
    ) -> None:
        store(project, 0)
        make_objective(project)
        change_objectives(project=project, actor=owner, wanted={"max_loss_hours": 48}, now=at(27))
        assert spells_of(project) == [(26, 27, "changed")]

    def test_two_in_force_are_one_too_many(self, project: Project) -> None:
        make_objective(project)
        with transaction.atomic(), pytest.raises(IntegrityError, match="objective_one_in_force"):
            make_objective(project)

    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({"ended_at": at(2)}, "breach_ended_has_reason"),
            ({"end": "met"}, "breach_ended_has_reason"),
        ],
    )
    def test_what_a_breach_cannot_be(
        self, project: Project, fields: dict[str, Any], name: str
    ) -> None:
        values = {"objective": make_objective(project), "began_at": at(1), "worst_seconds": 1}
        with pytest.raises(IntegrityError, match=name):
            Breach.objects.create(**{**values, **fields})

    def test_a_second_breach_at_a_time(self, project: Project) -> None:
        values = {"objective": make_objective(project), "began_at": at(1), "worst_seconds": 1}
        Breach.objects.create(**values)
        with pytest.raises(IntegrityError, match="breach_one_at_a_time"):
            Breach.objects.create(**values)

    def test_a_target_of_nothing(self, project: Project) -> None:
        with pytest.raises(IntegrityError, match="objective_target_positive"):
            make_objective(project, 0)


def test_nothing_is_measured_while_the_project_is_shut_down(
    project: Project, owner: Account
) -> None:
    make_objective(project)
    make_objective(project, 30, kind=TIME)
    store(project, 0)
    find_breaches(at(27))
    shut_down(project=project, actor=owner, typed_name=project.name)
    Project.objects.update(shut_down_at=at(28))
    find_breaches(at(28.1))
    find_breaches(at(100))
    assert spells_of(project) == [(26, 28, "stopped")]
    Project.objects.update(state="active", shut_down_at=None)
    find_breaches(at(101))
    find_breaches(at(126))
    assert spells_of(project) == [(26, 28, "stopped")], "an age counts from when it runs again"
    find_breaches(at(127.1))
    assert spells_of(project)[1:] == [(127, None, "")]
    assert told(project) == ["missed", "missed"]


def test_starting_again_is_seen(project: Project, owner: Account) -> None:
    make_objective(project)
    shut_down(project=project, actor=owner, typed_name=project.name)
    find_breaches(at(1))
    assert Objective.objects.get().stopped_at
    project.refresh_from_db()
    Project.objects.update(shut_down_at=at(10_000))
    start_again(project=project, actor=owner)
    find_breaches(at(2))
    objective = Objective.objects.get()
    assert (objective.stopped_at, objective.resumed_at) == (None, at(2))


class TestManyProjects:
    def fleet(self, number: int) -> list[Project]:
        account = factories.make_account()
        made = [
            factories.make_project_row(owner=account, created_at=at(-240)) for _ in range(number)
        ]
        for project in made:
            make_objective(project)
            make_objective(project, 30, kind=TIME)
            store(project, 0)
        return made

    def queries(self, work: Callable[[], object]) -> int:
        with CaptureQueriesContext(connection) as captured:
            work()
        return len(captured)

    def test_a_round_without_news_is_one_query(self) -> None:
        self.fleet(20)
        find_breaches(at(1))
        assert self.queries(lambda: find_breaches(at(2))) == 1

    def test_a_round_takes_so_many_and_the_next_ones_the_rest(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backups_portal.objectives.breach_scan.AT_A_TIME", 15)
        monkeypatch.setattr("backups_portal.objectives.breach_scan.BATCH", 4)
        self.fleet(20)
        assert [find_breaches(at(hours)) for hours in (1, 1.1, 1.2)] == [15, 5, 0]
        find_breaches(at(27))
        find_breaches(at(27.1))
        assert Breach.objects.count() == 20

    def test_many_are_judged_with_as_many_questions_as_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fleet(1)
        of_one = self.queries(lambda: find_breaches(at(1)))
        self.fleet(19)
        assert self.queries(lambda: find_breaches(at(1.1))) == of_one


def test_a_clock_that_ran_ahead_is_forgotten(project: Project) -> None:
    make_objective(project)
    make_objective(project, 30, kind=TIME, began=8_000)
    store(project, 8_000 - 24)
    find_breaches(at(8_760))
    assert spells_of(project) == [(8_002, None, "")]
    Snapshot.objects.all().delete()
    store(project, 0)
    find_breaches(at(2))
    assert spells_of(project) == []
    find_breaches(at(27))
    assert spells_of(project) == [(26, None, "")], "and it is watched as before"


@pytest.mark.django_db(transaction=True)
def test_two_rounds_at_once_tell_once(project: Project) -> None:
    make_objective(project)
    store(project, 0)
    at_once(*[lambda: find_breaches(at(27))] * 2)
    assert spells_of(project) == [(26, None, "")]
    assert told(project) == ["missed"]
