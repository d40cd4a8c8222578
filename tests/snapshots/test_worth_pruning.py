"""The query for projects with something to prune agrees with the rule that decides."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.retention.expiry import prune_project, worth_pruning
from tests.factories import make_project_row, make_snapshot

State, Verdict = Snapshot.State, Snapshot.Verdict
NOW = datetime(2028, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)

periods = st.integers(1, 40)
# Around the end of the period, to the second, and at any other time, even in the future.
offsets = st.sampled_from([-1, 0, 1]) | st.integers(-40 * 86_400, 400 * 86_400)
found = st.tuples(
    offsets,
    st.sampled_from(State.values),
    st.sampled_from(Verdict.values),
    # Whether an expired snapshot's objects were removed.
    st.booleans(),
)


@pytest.fixture
def project(db: None) -> Project:
    return make_project_row()


def add(project: Project, place: int, days: int, spec: tuple[int, str, str, bool]) -> None:
    offset, state, verdict, is_removed = spec
    moment = NOW - days * DAY - timedelta(seconds=offset)
    fields: dict[str, Any] = {"local_date": (NOW + place * DAY).date(), "scheduled_for": moment}
    if state == State.COMPLETED:
        fields |= {"verdict": verdict, "verdict_reason": "x", "proven_at": NOW}
    if state == State.EXPIRED and is_removed:
        fields["removed_at"] = NOW
    make_snapshot(project, taken_at=moment, state=state, **fields)


@given(days=periods, specs=st.lists(found, max_size=6))
@example(days=7, specs=[(0, State.COMPLETED, Verdict.UNPROVEN, False)])
@example(days=7, specs=[(-1, State.FAILED, Verdict.UNPROVEN, False)])
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_worth_looking_at_is_what_has_a_verdict(
    project: Project, days: int, specs: list[tuple[int, str, str, bool]]
) -> None:
    with transaction.atomic():
        MainDatabase.objects.update(retention_days=days)
        for place, spec in enumerate(specs):
            add(project, place, days, spec)
        is_half_removed = Snapshot.objects.filter(state=State.EXPIRED, removed_at=None).exists()
        judged = prune_project(project.pk, NOW, dry_run=True)
        is_worth_it = worth_pruning([project.pk], NOW) == [project.pk]
        transaction.set_rollback(True)
    assert is_worth_it == (bool(judged) or is_half_removed)
