"""Resources are written by the catalogue's columns; columns that clients cannot set are kept."""

from typing import Any

import psycopg
import pytest

from backups_portal.projectdb.analyses import create_analysis, upload_script
from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.credentials import create_run_user, create_secret
from backups_portal.projectdb.devices import create_device, set_parameters
from backups_portal.projectdb.files import put_file
from backups_portal.projectdb.resource_writer import (
    UnknownColumnError,
    add_rows,
    create,
    edit,
    fold,
)
from tests.projectdatabases import KEYS, Connection


def rows(database: Connection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query.encode()).fetchall()


def test_an_immutable_device_needs_its_chunks(database: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        create_device(database, keys=KEYS, name="Meter", type="immutable")
    assert rows(database, "SELECT FROM device") == []


def test_unknown_columns_are_refused(database: Connection) -> None:
    with pytest.raises(UnknownColumnError, match="network has no colour"):
        create(database, "network", colour="blue")
    with pytest.raises(UnknownColumnError, match="network has no colour"):
        edit(database, "network", "0" * 24, colour="blue")
    assert "network" in BY_NAME


def test_what_a_client_sends_is_folded_into_columns(database: Connection) -> None:
    body = {"id": "f" * 24, "name": "N", "created_at": "x", "device_parameters": [1], "logo": "l"}
    values = fold("network", body)
    assert values == {"name": "N", "settings": {"device_parameters": [1], "logo": "l"}}
    network = create(database, "network", **values)
    assert network != "f" * 24
    assert edit(database, "network", network, **fold("network", {"logo": "new"}))
    assert rows(database, "SELECT name, settings FROM network") == [
        ("N", {"device_parameters": [1], "logo": "new"})
    ]
    assert not edit(database, "network", "0" * 24, name="M")
    assert not edit(database, "network", "0" * 24)
    assert edit(database, "network", network)


def test_parameters_are_changed_by_id_and_otherwise_added(database: Connection) -> None:
    device, _ = create_device(database, keys=KEYS, name="Truck")
    other, _ = create_device(database, keys=KEYS, name="Other")
    (first,) = set_parameters(
        database, device_id=device, parameters=[{"key": "limit", "value": "8"}]
    )
    assert set_parameters(
        database, device_id=device, parameters=[{"id": first, "key": "limit", "value": "9"}]
    ) == [first]
    (added,) = set_parameters(
        database, device_id=other, parameters=[{"id": first, "key": "limit", "value": "7"}]
    )
    assert added != first
    assert sorted(rows(database, "SELECT device_id, value FROM device_parameter")) == sorted(
        [(device, "9"), (other, "7")]
    )


def test_a_parameter_without_a_value_changes_none(database: Connection) -> None:
    device, _ = create_device(database, keys=KEYS, name="Truck")
    with pytest.raises(psycopg.IntegrityError):
        set_parameters(
            database, device_id=device, parameters=[{"key": "a", "value": "1"}, {"key": "b"}]
        )
    assert rows(database, "SELECT FROM device_parameter") == []


def test_scripts_get_versions(database: Connection) -> None:
    analysis, _ = create_analysis(database, keys=KEYS, name="Alert")
    versions = [
        upload_script(database, analysis_id=analysis, file_name="a.js", content=b"1")
        for _ in range(2)
    ]
    assert versions == [1, 2]


def test_passwords_and_secrets_are_not_stored_as_they_are(database: Connection) -> None:
    create_run_user(database, name="Ana", email="ana@example.com", password="correct horse")
    with pytest.raises(psycopg.errors.UniqueViolation), database.transaction():
        create_run_user(database, name="Ana", email="ANA@example.com", password="x")
    create_secret(database, keys=KEYS, key="WEATHER", value="sk-4711")
    ((hashed,),) = rows(database, "SELECT password_hash FROM run_user")
    ((sealed, length),) = rows(database, "SELECT sealed_value, value_length FROM secret")
    assert hashed.startswith("$argon2id$")
    assert (KEYS.open(sealed, "secret"), length) == ("sk-4711", 7)
    assert "sk-4711" not in str(sealed)


def test_a_file_of_the_same_path_is_replaced(database: Connection) -> None:
    put_file(database, path="/a/b.txt", content=b"1")
    put_file(database, path="a/b.txt", content=b"22")
    assert rows(database, "SELECT path, size, content FROM file") == [("a/b.txt", 2, b"22")]


def test_rows_of_an_entity(database: Connection) -> None:
    entity = create(database, "entity", name="Trips", schema={"km": {"type": "int"}})
    ids = add_rows(database, entity_id=entity, rows=[{"km": 1}, {"km": 2}])
    assert dict(rows(database, "SELECT id, data FROM entity_record")) == dict(
        zip(ids, [{"km": 1}, {"km": 2}], strict=True)
    )
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        add_rows(database, entity_id="0" * 24, rows=[{"km": 1}])
