"""Importing existing rows adds nothing, and a preview predicts the import's result."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.projectdb.record_writer import send
from backups_portal.projects.access import RightLostError
from backups_portal.projects.models import Membership, Project
from backups_portal.transfers.csv_files.csv_import import Imported, ImportOptions
from backups_portal.transfers.csv_files.csv_import_export import export_csv, import_csv
from backups_portal.transfers.errors import TransferRefusedError
from tests.factories import make_account
from tests.transfers.projects import DEVICE, add_truck, count_rows, open_project

HEAD = "variable,value,group,unit,location,metadata,time\n"
ROW = "t,1,g,C,,,2026-01-01T00:00:00Z\n"


def bring_in(project: Project, owner: Account, text: str, **options: bool) -> Imported:
    file = io.BytesIO(text.encode())
    return import_csv(project, DEVICE, file, ImportOptions(**options), actor=owner)


def refusal(
    project: Project, owner: Account, device: str, text: str, *, is_preview: bool
) -> tuple[str | None, str]:
    """Return the field and the message that refuse a file."""
    file, options = io.BytesIO(text.encode()), ImportOptions(is_preview=is_preview)
    with pytest.raises(TransferRefusedError) as refused:
        import_csv(project, device, file, options, actor=owner)
    return refused.value.field, refused.value.message


@pytest.fixture
def exported(backup: Project, owner: Account) -> str:
    """The ten readings of a truck."""
    return "".join(export_csv(backup, DEVICE, actor=owner))


class TestRowsThatAreThere:
    """Each existing row of the device cancels one equal row of the file."""

    def test_an_export_adds_nothing(self, backup: Project, owner: Account, exported: str) -> None:
        done = bring_in(backup, owner, exported)
        assert (done.rows, done.known, count_rows(backup)) == (0, 10, 10)
        assert done.in_words() == ("0 rows were imported. 10 rows already exist and were skipped.")
        # Duplicates are added on request.
        assert bring_in(backup, owner, exported, again=True).rows == 10
        assert count_rows(backup) == 20

    def test_equal_rows_of_a_file_are_as_many(
        self, backup: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backups_portal.transfers.csv_files.csv_import.ROWS_AT_ONCE", 2)
        assert bring_in(backup, owner, HEAD + ROW * 5).rows == 5
        done = bring_in(backup, owner, HEAD + ROW * 7)
        assert (done.rows, done.known, count_rows(backup)) == (2, 5, 17)
        # This includes rows of one batch.
        monkeypatch.setattr("backups_portal.transfers.csv_files.csv_import.ROWS_AT_ONCE", 100)
        assert bring_in(backup, owner, HEAD + ROW * 9).rows == 2

    def test_one_column_makes_another_row(self, backup: Project, owner: Account) -> None:
        others = [
            *("u,1,g,C,,,2026-01-01T00:00:00Z", "t,2,g,C,,,2026-01-01T00:00:00Z"),
            *("t,1,h,C,,,2026-01-01T00:00:00Z", "t,1,g,F,,,2026-01-01T00:00:00Z"),
            *('t,1,g,C,"1,2",,2026-01-01T00:00:00Z', "t,1,g,C,,{},2026-01-01T00:00:00Z"),
            *("t,1,g,C,,,2026-01-01T00:00:00.001Z", "t,true,g,C,,,2026-01-01T00:00:00Z"),
            *("t,,g,C,,,2026-01-01T00:00:00Z", "t,one,g,C,,,2026-01-01T00:00:00Z"),
        ]
        bring_in(backup, owner, HEAD + ROW)
        for other in others:
            done = bring_in(backup, owner, f"{HEAD}{other}\n{ROW}")
            assert (other, done.rows, done.known) == (other, 1, 1)

    def test_a_file_without_groups_is_known_by_the_rest(
        self, backup: Project, owner: Account
    ) -> None:
        text = "variable,value,metadata,time\n" + 't,1,"{""b"":1,""a"":2}",2026-01-01\n' * 2
        assert bring_in(backup, owner, text).rows == 2
        assert (bring_in(backup, owner, text).rows, count_rows(backup)) == (0, 12)

    def test_finer_times_and_other_json_are_the_same_row(
        self, backup: Project, owner: Account
    ) -> None:
        with open_project(backup) as connection:
            send(connection, device_id=DEVICE, records=[{"variable": "fine", "value": 1}])
            connection.execute(
                """UPDATE variable SET time = '2026-01-01 00:00:00.123456Z',
                          metadata = '{"b" : 1, "a":2}'
                   WHERE id = (SELECT max(id) FROM variable)"""
            )
        text = "".join(export_csv(backup, DEVICE, actor=owner))
        assert bring_in(backup, owner, text).known == 11

    def test_values_that_hash_alike_are_two(self, backup: Project, owner: Account) -> None:
        """Python's hash(-1) is hash(-2)."""
        rows = "".join(f"t,{value},g,C,,,2026-01-01T00:00:00Z\n" for value in (-1, -2))
        assert bring_in(backup, owner, HEAD + rows).rows == 2
        again = bring_in(backup, owner, HEAD + rows)
        assert (again.rows, again.known) == (0, 2)

    def test_two_presses_at_once_are_one(self, backup: Project, owner: Account) -> None:
        ready = threading.Barrier(2)

        def press(_: int) -> int:
            ready.wait()
            try:
                return bring_in(backup, owner, HEAD + ROW * 500).rows
            finally:
                connections.close_all()

        with ThreadPoolExecutor(2) as presses:
            assert sorted(presses.map(press, range(2))) == [0, 500]
        assert count_rows(backup) == 510


class TestTheCommand:
    def test_it_says_what_is_there(
        self, backup: Project, owner: Account, exported: str, tmp_path: Any
    ) -> None:
        path = tmp_path / "truck.csv"
        path.write_text(exported + "new,1,g,,,,2026-01-01T00:00:00Z,\n")
        for flags, says in (
            (["--preview"], "1 row would be imported. 10 rows already exist and would be"),
            ([], "1 row was imported. 10 rows already exist and were skipped."),
            ([], "0 rows were imported. 11 rows already exist and were skipped."),
            (["--json"], '{"rows": 0, "already_there": 11, "bad": 0, "errors": []}'),
            (["--again"], "11 rows were imported."),
        ):
            out = io.StringIO()
            call_command("import_csv", backup.slug, DEVICE, str(path), *flags, stdout=out)
            assert says in out.getvalue()
        assert count_rows(backup) == 22

    def test_its_preview_refuses_what_the_import_does(self, backup: Project, tmp_path: Any) -> None:
        path = tmp_path / "truck.csv"
        path.write_text(HEAD + ROW)
        with pytest.raises(CommandError, match=r"There is no device 0{24}"):
            call_command("import_csv", backup.slug, "0" * 24, str(path), "--preview")


class TestPreview:
    """It refuses what the import refuses, in the same words, and stores nothing."""

    def test_what_is_refused(self, backup: Project, owner: Account, settings: Settings) -> None:
        settings.MUTABLE_DEVICE_ROWS = 30
        for device, text in (
            ("0" * 24, HEAD + ROW),
            ("no id", HEAD + ROW),
            ("0" * 24, HEAD),
            (DEVICE, "variable;value\nt;1\n"),
            (DEVICE, HEAD + ROW * 30),
            (DEVICE, HEAD + ROW * 3 + "t,1\n" + 'x,"' + "y" * 200_000 + '"\n'),
        ):
            said = [refusal(backup, owner, device, text, is_preview=wish) for wish in (True, False)]
            assert said[0] == said[1]
        assert count_rows(backup) == 10

    def test_it_counts_what_the_import_does(self, backup: Project, owner: Account) -> None:
        text = HEAD + ROW * 20 + "t,1\n" + ROW * 3 + ",,,,,,\n"
        bring_in(backup, owner, HEAD + ROW * 2)
        counts = [
            (done.rows, done.known, done.bad, done.errors)
            for is_preview in (True, False)
            for done in [bring_in(backup, owner, text, good_only=True, is_preview=is_preview)]
        ]
        assert counts[0] == counts[1]
        assert counts[0][:3] == (21, 2, 2)
        empty = bring_in(backup, owner, HEAD)
        assert empty.in_words() == "Nothing was imported: the file has no rows."

    def test_rows_that_are_there_need_no_room(
        self, backup: Project, owner: Account, exported: str, settings: Settings
    ) -> None:
        settings.MUTABLE_DEVICE_ROWS = 10
        assert bring_in(backup, owner, exported, is_preview=True).known == 10
        assert bring_in(backup, owner, exported).known == 10

        # An immutable device accepts any number.
        other = "e" * 24
        add_truck(backup, other, type="immutable", chunk_period="day", chunk_retention=1)
        file = io.BytesIO((HEAD + ROW * 5).encode())
        done = import_csv(backup, other, file, ImportOptions(is_preview=True), actor=owner)
        assert (done.rows, count_rows(backup)) == (5, 10)

    @pytest.mark.parametrize("button", ["preview", "import"])
    def test_only_owners_have_it(self, backup: Project, button: str) -> None:
        other = make_account()
        client = Client()
        client.force_login(other)
        form = {"device": DEVICE, "file": io.BytesIO(b"variable\nt\n"), button: "1"}
        assert client.post(f"/projects/{backup.slug}/data/", form).status_code == 404
        Membership.objects.create(project=backup, account=other, role="collaborator")
        assert client.post(f"/projects/{backup.slug}/data/", form).status_code == 403

    def test_the_page_says_what_is_wrong_at_once(self, backup: Project, owner: Account) -> None:
        client = Client()
        client.force_login(owner)
        url = f"/projects/{backup.slug}/data/"
        form = {"device": "0" * 24, "file": io.BytesIO((HEAD + ROW).encode()), "preview": "1"}
        answer = client.post(url, form)
        assert answer.status_code == 400
        assert "This project has no such device. Choose one of the list." in answer.text
        form = {"device": DEVICE, "file": io.BytesIO((HEAD + ROW).encode()), "preview": "1"}
        assert "1 row would be imported." in client.post(url, form).text


class Parting(io.BytesIO):
    """A file during whose reading the owner is removed."""

    def read(self, *args: Any) -> bytes:
        Membership.objects.all().delete()
        return super().read(*args)

    read1 = read


def test_who_is_removed_while_a_file_is_read_stores_nothing(
    backup: Project, owner: Account
) -> None:
    file, before = Parting((HEAD + ROW).encode()), count_rows(backup)
    with pytest.raises(RightLostError):
        import_csv(backup, DEVICE, file, actor=owner)
    assert count_rows(backup) == before
