"""Identifiers grow regardless of the clock and other threads."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from backups_portal.projectdb import ids
from backups_portal.projectdb.ids import new_resource_id


def test_ids_of_one_moment_stay_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = ids.time.time_ns()
    monkeypatch.setattr(ids.time, "time_ns", lambda: moment)
    made = [new_resource_id() for _ in range(1_000)]
    assert sorted(made) == made
    assert len(set(made)) == 1_000
    assert all(re.fullmatch("[0-9a-f]{24}", item) for item in made)


def test_a_clock_set_back_makes_no_older_id(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = new_resource_id()
    monkeypatch.setattr(ids.time, "time_ns", lambda: 0)
    assert new_resource_id() > newest


def test_threads_get_ids_of_their_own() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: new_resource_id(), range(2_000)))
    assert len(set(made)) == 2_000
