"""An owner views a device's records inside a backup, and downloads them."""

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import psycopg
import pyarrow.parquet as pq
import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.bulkhead import Bulkhead, FullError
from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.csv_files.csv_import_export import export_csv, import_csv
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import FORMAT, Manifest
from snapshots.engine.storage import Storage, open_storage
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.reports import device_reading
from snapshots.retention.reader_leases import LeasedFile, lease_to_reader
from tests.factories import age_sign_in, make_snapshot
from tests.projectdatabases import DEVICE
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db

NEWEST = "2026-03-01T00:09"


@pytest.fixture(autouse=True)
def nothing_recalled() -> Iterator[None]:
    device_reading._recalled.cache_clear()
    yield
    device_reading._recalled.cache_clear()


@pytest.fixture
def snapshot(live_project: Project, client: Client) -> Snapshot:
    """A stored snapshot of ten numbers, and a record of each other kind an hour later."""
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        for number, kind in ((10, "string"), (11, "boolean"), (12, "none")):
            source.execute(
                "INSERT INTO series (id, device_id, variable, type) VALUES (%s, %s, %s, %s)",
                [number, DEVICE, f"a_{kind}", kind],
            )
        source.execute(
            "INSERT INTO variable"
            " (series_id, time, number_value, text_value, group_key, location, metadata) VALUES"
            " (10, '2026-03-01 01:00:00.5Z', NULL, '=1+1 <b>', 'place', point(13.4, 52.5),"
            '  \'{"who": "Anna"}\'),'
            " (11, '2026-03-01 01:01Z', 1, NULL, 'g', NULL, NULL),"
            " (12, '2026-03-01 01:02Z', NULL, NULL, 'g', NULL, NULL)"
        )
    client.force_login(live_project.created_by)
    return taken(live_project)


def address(snapshot: Snapshot, ending: str = "", device: str = DEVICE) -> str:
    return f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/devices/{device}/{ending}"


def read(client: Client, snapshot: Snapshot, ending: str = "", status: int = 200) -> str:
    response = client.get(address(snapshot, ending))
    assert response.status_code == status
    return " ".join(response.content.decode().split())


def rows_in(page: str) -> int:
    return page.count("record-time")


def test_the_list_of_devices_leads_to_the_records(client: Client, snapshot: Snapshot) -> None:
    listed = client.get(f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/devices/")
    assert f'href="{address(snapshot)}"' in listed.content.decode()
    page = read(client, snapshot)
    assert rows_in(page) == 13
    for text in (
        *("=1+1 &lt;b&gt;", "52.5, 13.4", "{&#34;who&#34;: &#34;Anna&#34;}", "<code>place</code>"),
        *("true", "none", "1.125", "01:00:00.5"),
    ):
        assert text in page
    assert page.index("01:02:00") < page.index("01:00:00.5") < page.index("00:09:00")


def test_times_are_on_the_viewers_clocks(client: Client, snapshot: Snapshot) -> None:
    client.cookies["zone"] = "Asia/Tokyo"
    assert "10:02:00" in read(client, snapshot)
    # From nine to ten there: midnight to one in UTC.
    page = read(client, snapshot, "?since=2026-03-01T09:00&until=2026-03-01T09:05")
    assert rows_in(page) == 5


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("variable=temperature_1", 10),
        ("variable=a_string", 1),
        ("type=boolean", 1),
        ("type=number&variable=a_none", 0),
        ("group=place", 1),
        ("group=nothing", 0),
        ("since=2026-03-01T00:05", 8),
        (f"until={NEWEST}", 9),
        (f"since={NEWEST}&until=2026-03-01T00:10", 1),
    ],
)
def test_a_filter(client: Client, snapshot: Snapshot, query: str, rows: int) -> None:
    page = read(client, snapshot, f"?{query}")
    assert rows_in(page) == rows
    assert ("no such records" in page) == (rows == 0)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("variable=unknown", "not one of the choices"),
        ("since=yesterday", "Enter a day, or a day and a time"),
        ("since=2026-03-02T00:00&until=2026-03-01T00:00", "after the first one"),
    ],
)
def test_a_wrong_filter_is_said_to_be(
    client: Client, snapshot: Snapshot, query: str, said: str
) -> None:
    page = read(client, snapshot, f"?{query}", 400)
    assert said in page
    assert rows_in(page) == 0
    assert client.get(address(snapshot, f"export/?{query}")).status_code == 400


def test_pages_follow_each_other(client: Client, snapshot: Snapshot) -> None:
    with patch("snapshots.views.device.LINES", 5):
        seen, ending = 0, ""
        while ending is not None:
            page = read(client, snapshot, ending)
            seen += rows_in(page)
            place = page.partition('rel="next" href="')[2].partition('"')[0]
            ending = place or None
        assert seen == 13
        assert "Newest" in page
        # A made-up position shows the newest records.
        assert rows_in(read(client, snapshot, "?before=nonsense")) == 5


def test_variables_are_counted(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot, "variables/")
    for text in ("temperature_1", "a_string", "Text", "True or false", "00:09", "01:00"):
        assert text in page
    assert f'href="{address(snapshot)}?variable=temperature_1"' in page
    # Two variables have no records.
    assert page.count('data-label="Records">0<') == 2


def test_the_password_is_asked_for_again(client: Client, snapshot: Snapshot) -> None:
    age_sign_in(client, timedelta(hours=1))
    for ending in ("", "variables/", "export/?format=csv"):
        response = client.get(address(snapshot, ending))
        assert response.status_code == 302
        assert response.url.startswith("/account/password-again")


def test_who_looks_is_recorded_once_and_each_file(client: Client, snapshot: Snapshot) -> None:
    for ending in ("", "variables/", "?variable=a_none"):
        read(client, snapshot, ending)
    client.head(address(snapshot))
    asked = client.head(address(snapshot, "export/?format=parquet"))
    assert asked["Content-Type"] == "application/vnd.apache.parquet"
    for kind in ("csv", "parquet"):
        b"".join(client.get(address(snapshot, f"export/?format={kind}")))
    events = AuditEvent.objects.filter(
        action__in=["snapshot.looked_inside", "snapshot.device_exported"]
    )
    assert [(event.action, event.details.get("format")) for event in events.order_by("pk")] == [
        ("snapshot.looked_inside", None),
        ("snapshot.device_exported", "csv"),
        ("snapshot.device_exported", "parquet"),
    ]
    for event in events:
        assert event.account_email == snapshot.project.created_by.email
        assert event.details["device"] == "Truck"


def exported(client: Client, snapshot: Snapshot, query: str = "") -> bytes:
    response = client.get(address(snapshot, f"export/?{query}"))
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith(f'attachment; filename="{DEVICE}-')
    return b"".join(response.streaming_content)


def test_the_csv_is_that_of_the_database_and_comes_back(client: Client, snapshot: Snapshot) -> None:
    project, owner = snapshot.project, snapshot.project.created_by
    content = exported(client, snapshot)
    assert content.decode() == "".join(export_csv(project, DEVICE, actor=owner))
    with psycopg.connect(admin_dsn(project), autocommit=True) as source:
        source.execute("DELETE FROM variable")
    done = import_csv(project, DEVICE, io.BytesIO(content), actor=owner)
    assert (done.rows, done.bad) == (13, 0)
    # An import writes metadata without blanks.
    again = content.decode().replace('""who"": ""Anna""', '""who"":""Anna""')
    assert again == "".join(export_csv(project, DEVICE, actor=owner))


def test_the_files_are_filtered_as_the_page_is(client: Client, snapshot: Snapshot) -> None:
    query = f"variable=temperature_1&since=2026-03-01T00:05&until={NEWEST}"
    lines = list(csv.DictReader(io.StringIO(exported(client, snapshot, query).decode())))
    assert [line["time"][14:16] for line in lines] == ["05", "06", "07", "08"]
    table = pq.read_table(io.BytesIO(exported(client, snapshot, f"format=parquet&{query}")))
    assert table["number"].to_pylist() == [0.625, 0.75, 0.875, 1.0]
    assert set(table["variable"].to_pylist()) == {"temperature_1"}
    whole = pq.read_table(io.BytesIO(exported(client, snapshot, "format=parquet")))
    assert whole.num_rows == 13
    assert whole["value_type"].to_pylist()[-3:] == ["string", "boolean", "none"]


def test_what_is_not_there(client: Client, snapshot: Snapshot) -> None:
    for ending in ("", "variables/", "export/"):
        assert client.get(address(snapshot, ending, device="e" * 24)).status_code == 404
    waiting = make_snapshot(
        snapshot.project, taken_at=timezone.now() - timedelta(days=1), state="queued"
    )
    assert "not stored" in read(client, waiting, status=409)
    assert client.get(address(waiting, "export/")).status_code == 409


def segments_of(stored: Storage, snapshot: Snapshot) -> list[str]:
    manifest = Manifest.load(stored, snapshot.manifest)
    return [one.key for one in manifest.of("variable") if one.rows]


def test_a_missing_part_is_said_to_be(client: Client, snapshot: Snapshot, stored: Storage) -> None:
    for key in segments_of(stored, snapshot):
        stored.delete(key)
    page = read(client, snapshot)
    assert "A part of this backup is missing in storage" in page
    assert "There is no copy in a second storage" in page
    assert AuditEvent.objects.filter(action="snapshot.looked_inside").count() == 0
    with pytest.raises(Exception, match="lacks"):
        b"".join(client.get(address(snapshot, "export/")).streaming_content)


def test_damage_and_a_newer_format_are_said_to_be(
    client: Client, snapshot: Snapshot, stored: Storage
) -> None:
    (key,) = segments_of(stored, snapshot)
    stored.put(key, stored.get(key)[:-1])
    assert "A part of this backup is damaged" in read(client, snapshot)
    newer = re.sub(rb'"format":\d', b'"format":%d' % (FORMAT + 1), stored.get(snapshot.manifest))
    stored.put(snapshot.manifest, newer)
    Snapshot.objects.update(manifest_sha256=hashlib.sha256(newer).hexdigest())
    device_reading._recalled.cache_clear()
    page = read(client, snapshot)
    assert "This version of Backups Portal cannot read this backup" in page
    assert "made by a newer version of Backups Portal" in page
    response = client.get(address(snapshot, "export/"))
    assert response.status_code == 409
    assert "newer version" in response.content.decode()


def test_a_lost_key_is_said_to_be(client: Client, live_project: Project, settings: Any) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"one:{'1' * 64}"
    snapshot = taken(live_project)
    client.force_login(live_project.created_by)
    assert rows_in(read(client, snapshot)) == 10
    settings.SNAPSHOT_MASTER_KEYS = f"two:{'2' * 64}"
    device_reading._recalled.cache_clear()
    page = read(client, snapshot)
    assert "locked with a key that the portal does not have" in page
    assert "master key one" in page


def test_the_copy_is_read_and_said_to_be(
    client: Client, snapshot: Snapshot, stored: Storage, settings: Any, tmp_path: Any
) -> None:
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    copies = open_storage(settings.SNAPSHOT_COPY_STORAGE)
    for item in list(stored.list("")):
        copies.put(item.key, stored.get(item.key))
    SnapshotCopy.objects.create(
        snapshot=snapshot, place="the cellar", state="copied", copied_at=timezone.now()
    )
    (key,) = segments_of(stored, snapshot)
    stored.delete(key)
    page = read(client, snapshot)
    assert rows_in(page) == 13
    assert "Read from the copy of this backup" in page
    copies.delete(key)
    assert "Its copy in the cellar was tried too" in read(client, snapshot)


def test_readers_beyond_the_limit_are_asked_to_wait(client: Client, snapshot: Snapshot) -> None:
    full = Bulkhead(running=1, waiting=0, seconds=7)
    with patch("snapshots.views.snapshot_mixins.READERS", full), full.entered():
        response = client.get(address(snapshot))
    assert (response.status_code, response["Retry-After"]) == (503, "7")
    assert "Others are looking into backups" in response.content.decode()
    with patch("snapshots.views.device.FILES", full):
        with full.entered():
            assert client.get(address(snapshot, "export/")).status_code == 503
        for _ in range(2):
            assert exported(client, snapshot)


def test_a_file_gives_place_and_lease_back_whatever_becomes_of_it(snapshot: Snapshot) -> None:
    one = Bulkhead(running=1, waiting=0, seconds=7)

    def sent(pieces: Iterator[bytes]) -> LeasedFile:
        with ExitStack() as held:
            held.enter_context(one.entered())
            lease = lease_to_reader(snapshot, snapshot.project.created_by)
            assert lease
            held.callback(lease.release)
            return LeasedFile(lease, pieces, held.pop_all())

    def broken() -> Iterator[bytes]:
        yield b"begun"
        raise DamagedSnapshotError("It broke.")

    sent(broken()).close()
    with pytest.raises(DamagedSnapshotError):
        list(sent(broken()))
    under_way = sent(iter([b"a", b"b"]))
    with pytest.raises(FullError):
        sent(iter([b"a"]))
    assert list(under_way) == [b"a", b"b"]
    with one.entered():
        snapshot.refresh_from_db()
    assert snapshot.reader_leases == []


CHART = "chart/?variable=temperature_1&since=2026-03-01T00:00&until=2026-03-01T01:00"


def lines_of(page: str) -> list[str]:
    return [part.partition('points="')[2].partition('"')[0] for part in page.split("<polyline")[1:]]


@pytest.mark.server_version
def test_a_chart_shows_the_loss_beside_the_backup(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot, CHART)
    (line,) = lines_of(page)
    assert len(line.split()) == 10
    assert "00:09: 1.125 C" in page
    with psycopg.connect(admin_dsn(snapshot.project), autocommit=True) as source:
        source.execute("DELETE FROM variable WHERE number_value > 0.5")
    now, then = lines_of(read(client, snapshot, f"{CHART}&now=on"))
    assert then == line
    assert now.split() == line.split()[:5]
    with psycopg.connect(admin_dsn(snapshot.project), autocommit=True) as source:
        source.execute("DELETE FROM variable")
    page = read(client, snapshot, f"{CHART}&now=on")
    assert "In the database now: no records in this period" in page


def test_a_chart_begins_with_the_last_week_of_the_device(
    client: Client, snapshot: Snapshot
) -> None:
    page = read(client, snapshot, "chart/")
    assert 'value="2026-02-22T01:03"' in page
    assert 'value="2026-03-01T01:03"' in page
    # All ten share one column of pixels, in which only the ends and extremes are drawn.
    assert len(lines_of(page)[0].split()) == 2
    assert "0 to 1.125 C" in page
    assert "a_string" not in page
    page = read(client, snapshot, "chart/?variable=temperature_2")
    assert "no records of this variable" in page
    assert "not one of the choices" in read(client, snapshot, "chart/?variable=a_string", 400)
    assert "Enter a day" in read(client, snapshot, "chart/?since=x", 400)


def test_a_chart_without_the_database_shows_the_backup(
    client: Client, snapshot: Snapshot, settings: Any
) -> None:
    Project.objects.filter(pk=snapshot.project.pk).update(database="gone")
    page = read(client, snapshot, f"{CHART}&now=on")
    assert len(lines_of(page)) == 1
    assert "The database did not answer in time" in page


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("moment", ["0001-01-01 00:00Z", "9999-12-31 23:59:59.999999Z"])
def test_a_chart_of_the_first_and_last_moments(
    client: Client, live_project: Project, moment: str, zone: str
) -> None:
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute("UPDATE variable SET time = %s", [moment])
    client.force_login(live_project.created_by)
    client.cookies["zone"] = zone
    page = read(client, taken(live_project), "chart/")
    assert f'value="{moment[:4]}' in page
