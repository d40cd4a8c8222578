"""An owner reads the resources inside a backup; secrets are not shown."""

import re
from itertools import count

import psycopg
import pytest
from django.test import Client
from psycopg.types.json import Jsonb

from backups_portal.audit.models import AuditEvent
from backups_portal.projectdb.tokens import TokenGrant, create_token
from backups_portal.projects.database_dsn import admin_dsn, keyring
from backups_portal.projects.models import Project
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.reports import device_reading, resource_lines
from tests.projectdatabases import DEVICE
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db

SECRETS = ("hunter2", "Bearer abc", "sk-12345")


@pytest.fixture
def token() -> list[str]:
    return []


@pytest.fixture
def snapshot(live_project: Project, client: Client, token: list[str]) -> Snapshot:
    device_reading._recalled.cache_clear()
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute("INSERT INTO dashboard (id, label) VALUES (repeat('a', 24), 'Fleet <b>')")
        source.execute(
            "UPDATE device SET last_input = '2026-03-01', tags = %s",
            [Jsonb([{"key": "fleet", "value": "north"}])],
        )
        source.execute(
            "INSERT INTO device_parameter (id, device_id, key, value, sent) VALUES"
            " (repeat('1', 24), %(device)s, 'depot', 'Kiel', true),"
            " (repeat('2', 24), %(device)s, 'wifi_password', %(secret)s, true)",
            {"device": DEVICE, "secret": SECRETS[0]},
        )
        source.execute(
            "INSERT INTO widget (id, dashboard_id, settings)"
            " VALUES (repeat('b', 24), repeat('a', 24), %s)",
            [Jsonb({"label": "Temperatures", "type": "line_chart", "data": [{"origin": DEVICE}]})],
        )
        action = {
            "type": "condition",
            "trigger": [{"variable": "temperature", "is": ">", "value": "8"}],
            "action": {
                "type": "post",
                "url": "https://example.com",
                "headers": {"Authorization": SECRETS[1], "X": "1"},
                "api_key": SECRETS[2],
                "password_of_the_door": SECRETS[0],
            },
        }
        source.execute(
            "INSERT INTO action (id, name, settings) VALUES (repeat('c', 24), 'Too warm', %s)",
            [Jsonb(action)],
        )
        source.execute(
            "INSERT INTO dictionary (id, name, slug, fallback)"
            " VALUES (repeat('e', 24), 'Words', 'WORDS', 'en-US')"
        )
        source.execute(
            "INSERT INTO dictionary_language (dictionary_id, code, active, texts)"
            " VALUES (repeat('e', 24), 'de-DE', true, %s)",
            [Jsonb({"DOOR": "Tür"})],
        )
        made = create_token(
            source, TokenGrant("device", name="Gateway", device_id=DEVICE), keys=keyring()
        )
        token.append(made.value)
    client.force_login(live_project.created_by)
    return taken(live_project)


def read(client: Client, snapshot: Snapshot, kind: str = "") -> str:
    address = f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/resources/"
    response = client.get(f"{address}?kind={kind}")
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_dashboards_with_their_widgets(client: Client, snapshot: Snapshot) -> None:
    for page in (read(client, snapshot), read(client, snapshot, "dashboards")):
        for text in ("Fleet &lt;b&gt;", "1. Temperatures", "line_chart", DEVICE):
            assert text in page
    # An unknown kind shows the first one.
    assert "Fleet" in read(client, snapshot, "nonsense")


def test_settings_of_an_action_without_what_opens_something(
    client: Client, snapshot: Snapshot
) -> None:
    page = read(client, snapshot, "actions")
    for text in ("Too warm", "Trigger", "temperature", "https://example.com", "not shown"):
        assert text in page
    for secret in SECRETS:
        assert secret not in page


def test_devices_with_their_tags_and_parameters(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot, "devices")
    shown = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    for text in ("Truck", DEVICE, "Tags fleet north", "Configuration parameters depot Kiel"):
        assert text in shown
    assert shown.count("depot") == 1
    assert re.search("Last input 1 Mar 2026|Last input 1 Mar, ", shown)
    assert SECRETS[0] not in page
    # Words and address of the way back.
    assert "Tags and parameters can come back" in shown
    slug = snapshot.project.slug
    assert f'href="/projects/{slug}/backups/{snapshot.pk}/restore/">restore the backup of' in page
    assert "can come back" not in read(client, snapshot, "actions")


def test_a_comparison_says_how_resources_come_back(
    client: Client, live_project: Project, snapshot: Snapshot
) -> None:
    address = f"/projects/{live_project.slug}/backups/{snapshot.pk}"

    def compared() -> str:
        page = client.get(f"{address}/compare/?with=now").content.decode()
        return " ".join(page.split())

    said = "choose “Replace it” under Options for those that differ"
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as source:
        source.execute("UPDATE device SET tags = '[]'")
        assert said not in compared()
        source.execute("UPDATE dictionary_language SET texts = '{}'")
        assert "can be moved from there, too" in compared()
        source.execute("UPDATE device SET tags = %s", [Jsonb([{"key": "fleet", "value": "north"}])])
    page = compared()
    assert said in page
    assert f'href="{address}/restore/">a new project made from' in page


@pytest.mark.parametrize(
    ("name", "is_hidden"),
    [
        *((name, True) for name in ("wifiPassword", "pwd", "passphrase", "apiKey", "API key")),
        *((name, True) for name in ("app_key", "AppSKey", "access-key", "client_secret")),
        *((name, False) for name in ("key", "keyboard", "passenger", "monkey", "compass")),
    ],
)
def test_what_opens_something_is_known_by_its_name(name: str, *, is_hidden: bool) -> None:
    (shown,) = resource_lines._settings({name: "hush"}, iter(range(10)), 0)
    assert (shown.text == resource_lines.HIDDEN) is is_hidden


def test_json_in_a_text_is_hidden_if_it_names_a_secret() -> None:
    values = {
        "a": ' {"password": "hush"}',
        "b": '[{"apiKey": "hush"}]',
        "c": '{"x": 1}',
        "d": "pwd",
    }
    shown = resource_lines._settings(values, iter(range(10)), 0)
    hidden = resource_lines.HIDDEN
    assert [one.text for one in shown] == [hidden, hidden, '{"x": 1}', "pwd"]


def test_two_tags_of_one_key_are_both_shown() -> None:
    tags = [{"key": "fleet", "value": "north"}, {"key": "fleet", "value": "south"}]
    (shown,) = resource_lines._settings({"tags": tags}, count(), 0)
    assert [one.label for one in shown.inner] == ["1. fleet", "2. fleet"]


@pytest.mark.parametrize(("number", "is_cut"), [(399, False), (400, False), (401, True)])
def test_only_what_is_cut_is_said_to_be(*, number: int, is_cut: bool) -> None:
    line = resource_lines.ResourceLine("", "", {f"x{place}": 1 for place in range(number)})
    assert (len(line.settings), line.is_cut) == (min(number, 400), is_cut)


def test_texts_of_a_dictionary(client: Client, snapshot: Snapshot) -> None:
    page = read(client, snapshot, "dictionaries")
    for text in ("WORDS", "1. de-DE", "DOOR", "Tür"):
        assert text in page


def test_of_tokens_the_last_four_characters(
    client: Client, snapshot: Snapshot, token: list[str]
) -> None:
    page = read(client, snapshot, "tokens")
    assert "Gateway" in page
    assert "Truck" in page
    assert f"…{token[0][-4:]}" in page
    assert token[0] not in page
    assert "Created at" in page
    assert '<time datetime="' in page.partition("Created at")[2]
    assert token[0][:8] not in page.replace(f"…{token[0][-4:]}", "")


def test_who_looks_is_recorded(client: Client, snapshot: Snapshot) -> None:
    for kind in ("actions", "actions", "tokens"):
        read(client, snapshot, kind)
    events = AuditEvent.objects.filter(action="snapshot.looked_inside").order_by("pk")
    assert [event.details["resources"] for event in events] == ["Actions", "Tokens"]


def test_what_is_missing_is_said_to_be(client: Client, snapshot: Snapshot, stored: Storage) -> None:
    for segment in Manifest.load(stored, snapshot.manifest).of("action"):
        stored.delete(segment.key)
    assert "A part of this backup is missing in storage" in read(client, snapshot, "actions")
    assert "Fleet" in read(client, snapshot, "dashboards")
