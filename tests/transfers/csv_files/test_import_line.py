"""A killed import has either its line in the activity, or no rows."""

import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import acting_by_command
from backups_portal.ops.tasks import send_overlooked
from backups_portal.projects.models import Project
from backups_portal.transfers import commit_guard
from backups_portal.transfers.csv_files import csv_import_export, csv_job, import_line
from backups_portal.transfers.csv_files.csv_import import Imported, ImportOptions
from backups_portal.transfers.csv_files.csv_import_export import import_csv
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.models import CsvRequest
from backups_portal.transfers.tasks import run_csv as task
from tests.factories import make_account
from tests.killed import is_killed
from tests.transfers.projects import DEVICE, add_truck, count_rows, open_project

CSV = "backups_portal.transfers.csv_files.csv_import_export"
FILE = b"variable,value,time\n" + b"".join(b"t,1,2026-03-0%d\n" % day for day in range(1, 4))
Guard = Callable[[], AbstractContextManager[object]]


@pytest.fixture(autouse=True)
def _truck(live: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    add_truck(live)
    monkeypatch.setattr(task, "delay", lambda pk: None)


def bring_in(project: Project, owner: Account, **options: bool) -> Imported:
    return import_csv(project, DEVICE, io.BytesIO(FILE), ImportOptions(**options), actor=owner)


def lines() -> list[tuple[str, str, Any]]:
    """Return who imported how many rows into what."""
    found = AuditEvent.objects.filter(action="data.imported")
    return [(event.who, event.subject, event.details["rows"]) for event in found]


def settle() -> None:
    """Let the tick and a worker look at imports whose process is gone."""
    CsvRequest.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    for key in send_overlooked(CsvRequest, timezone.now()):
        csv_job.run_csv(key)
    assert not CsvRequest.objects.exists()


def markers(project: Project) -> int:
    with open_project(project) as connection:
        row = connection.execute("SELECT count(*) FROM file").fetchone()
    return int(row[0]) if row else 0


def guarded_until(act: Callable[[], object]) -> Callable[..., AbstractContextManager[None]]:
    """Act once the rows are committed, but not the line."""

    @contextmanager
    def broken(guard: Guard) -> Iterator[None]:
        with guard():
            yield
            act()

    return lambda target, guard: commit_guard.guarded(target, partial(broken, guard))


def die_between_the_commits(work: Callable[[], object]) -> None:
    csv_import_export.guarded = guarded_until(lambda: os.kill(os.getpid(), signal.SIGKILL))
    work()


@pytest.mark.parametrize("place", [f"behind {CSV}.import_file", f"behind {CSV}.write_line"])
def test_before_the_rows_are_committed_there_is_nothing(
    live: Project, owner: Account, place: str
) -> None:
    assert is_killed(partial(bring_in, live, owner), place)
    settle()
    assert (count_rows(live), lines()) == (0, [])
    assert bring_in(live, owner).rows == 3
    assert (count_rows(live), lines()) == (3, [(owner.email, "Truck", 3)])


def test_between_the_commits_a_worker_writes_the_line(live: Project, owner: Account) -> None:
    work = partial(die_between_the_commits, partial(bring_in, live, owner))
    assert is_killed(work, "behind os.getppid")
    assert (count_rows(live), lines()) == (3, [])
    settle()
    assert (count_rows(live), lines()) == (3, [(owner.email, "Truck", 3)])
    assert markers(live) == 0


def test_the_line_of_a_command_names_its_operator(live: Project, owner: Account) -> None:
    def command() -> None:
        with acting_by_command("ops"):
            bring_in(live, owner)

    assert is_killed(partial(die_between_the_commits, command), "behind os.getppid")
    settle()
    assert lines() == [("operator (ops)", "Truck", 3)]


@pytest.mark.parametrize(
    "content",
    [
        '{"account": %s, "operator": "", "subject": "Car", "counts": {"rows": 9}}',
        '{"account": null, "operator": "root", "subject": "Car", "counts": {}}',
        '{"account": null, "operator": "", "subject": "", "counts": {"system_user": "root"}}',
        *("[1]", '{"seal": 1}', "[" * 100_000, "no JSON"),
        *('{"seal": "\\ud800"}', '[[1, 2], ["a", 3]]'),
    ],
    ids=["account", "operator", "counts", "list", "seal", "deep", "text", "surrogate", "keys"],
)
def test_sql_of_the_owner_writes_no_line(live: Project, owner: Account, content: str) -> None:
    work = partial(die_between_the_commits, partial(bring_in, live, owner))
    assert is_killed(work, "behind os.getppid")
    with open_project(live) as connection:
        replaced = content.replace("%s", str(make_account().pk)).encode()
        connection.execute("UPDATE file SET content = %s", [replaced])
    settle()
    found = AuditEvent.objects.get(action="data.imported")
    assert (found.who, found.subject, found.details) == ("", "", {})


def test_a_project_that_is_shut_down_since_has_its_line(live: Project, owner: Account) -> None:
    work = partial(die_between_the_commits, partial(bring_in, live, owner))
    assert is_killed(work, "behind os.getppid")
    Project.objects.filter(pk=live.pk).update(state=Project.State.SHUT_DOWN)
    settle()
    assert lines() == [(owner.email, "Truck", 3)]


def test_an_import_leaves_nothing_to_settle(live: Project, owner: Account) -> None:
    bring_in(live, owner)
    bring_in(live, owner, is_preview=True)
    with pytest.raises(TransferRefusedError):
        import_csv(live, DEVICE, io.BytesIO(b"nonsense"), actor=owner)
    with pytest.raises(TransferRefusedError):
        import_csv(live, "x" * 300, io.BytesIO(FILE), actor=owner)
    assert (CsvRequest.objects.count(), markers(live), len(lines())) == (0, 0, 1)


def test_a_marker_that_stays_does_not_make_it_fail(
    live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> None:
        raise psycopg.errors.LockNotAvailable

    monkeypatch.setattr(import_line, "delete_files", fail)
    assert bring_in(live, owner).rows == 3
    assert (count_rows(live), lines()) == (3, [(owner.email, "Truck", 3)])


def test_a_project_that_is_shut_down_meanwhile_gets_nothing(
    live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = csv_import_export.import_file

    def shutting(*arguments: Any) -> Imported:
        done = read(*arguments)
        Project.objects.filter(pk=live.pk).update(state=Project.State.SHUT_DOWN)
        return done

    monkeypatch.setattr(csv_import_export, "import_file", shutting)
    with pytest.raises(TransferRefusedError, match="Cold Chain is shut down"):
        bring_in(live, owner)
    assert (count_rows(live), lines(), CsvRequest.objects.count()) == (0, [], 0)


def test_a_project_that_is_shut_down_offers_no_import(
    live: Project, owner: Account, client: Client
) -> None:
    client.force_login(owner)
    url = f"/projects/{live.slug}/data/"
    assert "Import into Truck" in client.get(f"{url}?list=now").text
    Project.objects.filter(pk=live.pk).update(state=Project.State.SHUT_DOWN)
    page = client.get(f"{url}?list=now").text
    assert "Download Truck as CSV" in page
    assert "Import into" not in page
    for query in ("", f"?device={DEVICE}"):
        page = client.get(f"{url}{query}").text
        assert "Start it again to import a file." in page
        assert 'type="file"' not in page


def test_one_that_was_taken_for_lost_stores_nothing(
    live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process was frozen for longer than its lease, as by a suspend."""
    read = csv_import_export.import_file

    def late(*arguments: Any) -> Imported:
        done = read(*arguments)
        settle()
        return done

    monkeypatch.setattr(csv_import_export, "import_file", late)
    with pytest.raises(TransferRefusedError, match="interrupted"):
        bring_in(live, owner)
    assert (count_rows(live), lines()) == (0, [])


def test_a_commit_whose_answer_is_lost_is_looked_for(
    live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off() -> None:
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patched:
        patched.setattr(csv_import_export, "guarded", guarded_until(cut_off))
        with pytest.raises(psycopg.OperationalError):
            bring_in(live, owner)
    assert lines() == []
    settle()
    assert (count_rows(live), lines()) == (3, [(owner.email, "Truck", 3)])
