"""Tests that depend on the version of PostgreSQL are marked, and CI runs them on the oldest."""

import re
from pathlib import Path

import pytest

from tests.projectdatabases import main_database
from tests.server_versions import FOLDERS, MARKER, SERVER, STORAGE, asks_the_server

ROOT = Path(__file__).parents[2]
BY_HAND = re.compile(r"\.(copy|cursor|execute|executemany|raw|stream)\(|\bRawSQL\b")


@pytest.mark.parametrize(
    ("place", "fixtures", "is_asked"),
    [
        ("snapshots/engine/test_new.py", {"backups", SERVER}, True),
        ("snapshots/test_new.py", {"live_project", SERVER}, True),
        ("transfers/test_new.py", {"visitor", SERVER}, True),
        ("transfers/test_new.py", {"owner"}, False),
        ("restores/test_new.py", {"client", SERVER}, False),
        ("snapshots/replication/test_new.py", {SERVER}, False),
        ("ops/test_new.py", {SERVER}, False),
        ("test_new.py", {SERVER}, False),
    ],
)
def test_a_test_is_chosen_by_its_folder_and_its_fixtures(
    place: str, fixtures: set[str], is_asked: bool
) -> None:
    assert asks_the_server(tuple(place.split("/")), fixtures) is is_asked


def test_who_makes_a_database_without_asking_for_its_server_fails() -> None:
    with pytest.raises(pytest.fail.Exception, match=SERVER), main_database():
        pass


@pytest.mark.parametrize("name", STORAGE)
def test_packages_of_storage_have_no_statement_of_their_own(name: str) -> None:
    files = list((ROOT / "snapshots" / name).glob("*.py"))
    assert files
    assert [file.name for file in files if BY_HAND.search(file.read_text())] == []


def test_a_statement_by_hand_would_be_found() -> None:
    assert BY_HAND.search((ROOT / "snapshots" / "schedule" / "schedule_tick.py").read_text())


def test_ci_looks_for_them_wherever_they_are() -> None:
    (step,) = re.findall(r"-m (\w+) \\\n +tests/\{(.+)\}\n", (ROOT / ".ci" / "run").read_text())
    marked = {
        file.relative_to(ROOT / "tests").parts[0]
        for file in (ROOT / "tests").rglob("test_*.py")
        if f"pytest.mark.{MARKER}" in file.read_text()
    }
    assert step[0] == MARKER
    assert set(step[1].split(",")) == {*FOLDERS, *marked}
