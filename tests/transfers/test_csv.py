"""CSV files on pages: exports can be imported again, and errors name their line."""

import io
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.template.response import TemplateResponse
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projectdb.record_csv import write_rows
from backups_portal.projects.access import RightLostError
from backups_portal.projects.models import Project
from backups_portal.transfers.csv_files import csv_import_export
from backups_portal.transfers.csv_files.csv_format import BadLine, CsvError, read_rows
from backups_portal.transfers.csv_files.csv_import import ImportOptions
from backups_portal.transfers.csv_files.csv_import_export import export_csv, import_csv
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.views import data_pages
from tests.transfers.projects import DEVICE, add_truck, count_rows, open_project

NOW = datetime(2026, 5, 1, tzinfo=UTC)
HEAD = "variable,value,group,unit,location,metadata,time\n"


def read(text: str) -> list[Any]:
    return list(read_rows(io.StringIO(text, newline=""), now=NOW, group="none"))


def test_every_column_comes_back() -> None:
    row = ("t", 2.5, "g", "C", 13.4, 52.5, '{"a":1}', NOW)
    (number, record) = read("".join(write_rows([row])))[0]
    assert number == 2
    assert (record.variable, record.number, record.group, record.unit) == ("t", 2.5, "g", "C")
    assert (record.location, record.metadata, record.time) == ((13.4, 52.5), '{"a":1}', NOW)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("1e3", "number"), ("-5", "number"), ("true", "boolean"), ("", "none"), ("nan", "string"),
     ("1_000", "string"), ("open", "string")],
)  # fmt: skip
def test_values_are_what_they_read_as(text: str, kind: str) -> None:
    assert read(f"variable,value\nt,{text}\n")[0][1].type == kind


def test_bad_lines_have_the_numbers_of_the_file() -> None:
    found = read(HEAD + 't,1,g,,,,2026-01-01\nt,"two\nlines",g,,,,\n,3,g,,,,\nt,4,g,,,{,\nt,5\n')
    bad = [(item.number, item.reason) for item in found if isinstance(item, BadLine)]
    assert bad == [
        (5, "variable must be text"),
        (6, "metadata is not JSON"),
        (7, "it has 2 fields instead of 7"),
    ]


@pytest.mark.parametrize("text", ["", "name,value\n1,2\n", "variable,variable\na,b\n"])
def test_headers_must_be_known(text: str) -> None:
    with pytest.raises(CsvError):
        read(text)


def test_all_or_nothing_or_the_good_rows(backup: Project, owner: Account) -> None:
    before = count_rows(backup)
    file = io.BytesIO((HEAD + "a,1,,,,,\n,2,,,,,\nb,3,,,,,\n").encode())
    shown = import_csv(backup, DEVICE, file, ImportOptions(is_preview=True), actor=owner)
    assert (len(shown.preview), shown.bad) == (2, 1)
    assert shown.in_words() == "Nothing would be imported. 1 row is bad."
    refused = import_csv(backup, DEVICE, file, actor=owner)
    assert (refused.rows, refused.errors[0].number) == (0, 3)
    assert count_rows(backup) == before
    done = import_csv(backup, DEVICE, file, ImportOptions(good_only=True), actor=owner)
    assert (done.rows, done.bad) == (2, 1)
    assert count_rows(backup) == before + 2


def test_what_the_log_cannot_tell_of_is_not_imported(
    backup: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise OperationalError

    monkeypatch.setattr(AuditEvent.objects, "create", fail)
    before = count_rows(backup)
    with pytest.raises(OperationalError):
        import_csv(backup, DEVICE, io.BytesIO(f"{HEAD}a,1,,,,,\n".encode()), actor=owner)
    assert count_rows(backup) == before


def test_an_export_is_an_import(
    backup: Project, live: Project, owner: Account, tmp_path: Any
) -> None:
    path = tmp_path / "truck.csv"
    path.write_text("".join(export_csv(backup, DEVICE, actor=owner)))
    add_truck(live)
    call_command("import_csv", live.slug, DEVICE, str(path), stdout=io.StringIO())
    query = 'SELECT variable, value, "group", time FROM variable_record ORDER BY time'
    with open_project(backup) as one, open_project(live) as other:
        assert one.execute(query).fetchall() == other.execute(query).fetchall()


def test_an_export_ends_within_a_minute_of_the_right_to_it(
    backup: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_import_export, "RIGHT_SECONDS", -1.0)
    assert "temperature" in "".join(export_csv(backup, DEVICE, actor=owner))
    under_way = export_csv(backup, DEVICE, actor=owner)
    Account.objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(RightLostError):
        list(under_way)


def test_an_export_outlasts_an_outage_of_the_portals_database(
    backup: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its reader still has the right is asked again a minute later."""
    complete = "".join(export_csv(backup, DEVICE, actor=owner))
    monkeypatch.setattr(csv_import_export, "RIGHT_SECONDS", -1.0)
    under_way = export_csv(backup, DEVICE, actor=owner)

    def away(*_: object) -> None:
        raise OperationalError("the database system is shutting down")

    monkeypatch.setattr(csv_import_export, "hold_right", away)
    monkeypatch.setattr(connection, "close", lambda: None)
    assert "".join(under_way) == complete


def test_commands_say_whose_account_was_closed(
    backup: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_import_export, "RIGHT_SECONDS", -1.0)
    Account.objects.filter(pk=owner.pk).update(is_active=False)
    with pytest.raises(CommandError, match=r"The account of .* is closed, so this was stopped\."):
        call_command("export_csv", backup.slug, DEVICE, stdout=io.StringIO())


def test_the_page_exports_previews_and_imports(backup: Project, owner: Account) -> None:
    client = Client()
    client.force_login(owner)
    url = f"/projects/{backup.slug}/data/"
    assert client.head(f"{url}{DEVICE}.csv")["Content-Type"].startswith("text/csv")
    exported = client.get(f"{url}{DEVICE}.csv")
    content = b"".join(exported.streaming_content)
    assert content.startswith(b"variable,value,group")
    for name, stored in (("preview", 10), ("import", 10), ("again", 20)):
        form = {"device": DEVICE, "file": io.BytesIO(content), name: "1"}
        assert client.post(url, form).status_code == 200
        assert count_rows(backup) == stored
    events = AuditEvent.objects.filter(action__startswith="data.").order_by("id")
    assert list(events.values_list("action", "subject", "address")) == [
        ("data.exported", "Truck", "127.0.0.1"),
        ("data.imported", "Truck", "127.0.0.1"),
        ("data.imported", "Truck", "127.0.0.1"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "That file is empty. Choose another one."),
        (b"variable;value;time\nwind;1;2026-03-01\n", "The file has semicolons between"),
        ("variable,value\nwind,größe\n".encode("cp1252"), "The file is not UTF-8 text."),
    ],
)
def test_a_file_that_is_no_csv_is_refused_in_place(
    backup: Project, owner: Account, content: bytes, said: str
) -> None:
    client = Client()
    client.force_login(owner)
    url = f"/projects/{backup.slug}/data/"
    for headers, status in (({}, 400), ({"HX-Request": "true"}, 200)):
        form = {"device": DEVICE, "file": io.BytesIO(content), "preview": "1"}
        answer = client.post(url, form, headers=headers)
        # htmx shows an answer only if its status is a success.
        assert answer.status_code == status
        assert said in answer.text


def test_a_time_that_is_none_is_refused_with_an_example(backup: Project, owner: Account) -> None:
    client = Client()
    client.force_login(owner)
    rows = io.BytesIO(b"variable,value,time\nwind,1,11/30/2026 23:00\n")
    form = {"device": DEVICE, "file": rows, "preview": "1"}
    page = client.post(f"/projects/{backup.slug}/data/", form).text
    assert "Line 2: &#39;11/30/2026 23:00&#39; is not a time" in page
    assert "Write times as 2026-11-30 23:00, in UTC" in page


def listed(visitor: Client, url: str, asked: dict[str, str]) -> Any:
    """Return the page's list of devices."""
    answer = visitor.get(url, asked)
    assert isinstance(answer, TemplateResponse)
    return (answer.context_data or {})["devices"]


class TestDevicesToExport:
    """The list loads after the page."""

    @pytest.fixture
    def url(self, backup: Project) -> str:
        return f"/projects/{backup.slug}/data/"

    @pytest.fixture
    def visitor(self, owner: Account) -> Client:
        client = Client()
        client.force_login(owner)
        return client

    def test_the_page_does_not_wait_for_it(self, visitor: Client, url: str) -> None:
        with mock.patch.object(data_pages, "list_devices", side_effect=AssertionError):
            page = visitor.get(url).content.decode()
        assert 'hx-get="?list=now"' in page
        assert "Show the devices" in page

    def test_it_comes_as_a_part_of_the_page(self, visitor: Client, url: str) -> None:
        part = visitor.get(url, {"list": "now"}, headers={"HX-Request": "true"})
        assert f"{url}{DEVICE}.csv" in part.content.decode()
        assert "<html" not in part.content.decode()

    def test_without_scripts_a_link_shows_it(self, visitor: Client, url: str) -> None:
        page = visitor.get(url, {"list": "now"}).content.decode()
        assert f"{url}{DEVICE}.csv" in page
        assert "<html" in page

    def test_many_come_in_pages_and_are_searched(
        self, visitor: Client, url: str, backup: Project
    ) -> None:
        with open_project(backup) as connection:
            connection.execute(
                "INSERT INTO device (id, name, type) SELECT lpad(to_hex(n), 24, '0'),"
                " 'Pump ' || lpad(n::text, 2, '0'), 'mutable' FROM generate_series(1, 40) AS n"
            )
        last = listed(visitor, url, {"list": "now", "page": "2"})
        assert (last.paginator.count, len(last)) == (41, 16)
        found = listed(visitor, url, {"list": "now", "q": "PUMP 3"})
        assert [one.name for one in found] == [f"Pump {n}" for n in range(30, 40)]
        by_id = listed(visitor, url, {"list": "now", "q": DEVICE})
        assert [one.id for one in by_id] == [DEVICE]

    def test_none_that_matches_is_said(self, visitor: Client, url: str) -> None:
        page = visitor.get(url, {"list": "now", "q": "100%"}).content.decode()
        assert "No device matches “100%”." in page

    def test_a_database_that_is_away_is_said(
        self, visitor: Client, url: str, backup: Project
    ) -> None:
        Project.objects.filter(pk=backup.pk).update(database="nowhere")
        page = visitor.get(url, {"list": "now"})
        part = visitor.get(url, {"list": "now"}, headers={"HX-Request": "true"})
        assert (page.status_code, part.status_code) == (503, 200)
        for answer in (page, part):
            assert "is not responding" in answer.text
            assert "Try again" in answer.text


def test_a_device_that_has_no_room_takes_nothing(
    backup: Project, owner: Account, settings: Settings
) -> None:
    before = count_rows(backup)
    settings.MUTABLE_DEVICE_ROWS = before + 1
    lines = "variable,value\n" + "t,1\n" * 2
    file = io.BytesIO(lines.encode())
    with pytest.raises(TransferRefusedError, match="reached the limit of"):
        import_csv(backup, DEVICE, file, ImportOptions(good_only=True), actor=owner)
    assert count_rows(backup) == before
    import_csv(backup, DEVICE, io.BytesIO(b"variable,value\nt,1\n"), actor=owner)
    assert count_rows(backup) == before + 1
