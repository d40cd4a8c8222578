"""Rows of entities, kept in order and checked by the entity's fields."""

from typing import Any

import psycopg
import pytest

from backups_portal.projects.models import Project
from backups_portal.tagoio_api.routes import entity_rows
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api, api_of

FIELDS = {
    "plate": {"action": "create", "type": "string", "required": True},
    "load": {"action": "create", "type": "float"},
}


@pytest.fixture
def path(api: Api) -> str:
    """Return the address of an entity's rows."""
    return f"/entity/{api.post('/entity', {'name': 'Trucks', 'schema': FIELDS})['id']}/data"


def test_rows_of_one_request_stay_in_their_order(api: Api, path: str) -> None:
    plates = [f"AB {number}" for number in range(20)]
    assert api.post(path, [{"plate": plate} for plate in plates]) == "20 Data Added"
    assert [row["plate"] for row in api.get(path)] == plates
    newest = api.get(f"{path}?order=created_at,desc&amount=2")
    assert [row["plate"] for row in newest] == ["AB 19", "AB 18"]


def test_one_bad_row_keeps_all_of_its_request_out(api: Api, path: str) -> None:
    rows = [{"plate": "AB 1"}, {"load": 1.5}]
    assert api.call("POST", path, rows) == (400, "plate is required")
    assert api.get(path) == []


def test_an_edit_leaves_what_it_does_not_name(api: Api, path: str) -> None:
    api.post(path, {"plate": "AB 1", "load": 1.5})
    (row,) = api.get(path)
    assert api.put(path, {"id": row["id"], "load": 2}) == "1 item(s) updated"
    (edited,) = api.get(path)
    assert (edited["plate"], edited["load"]) == ("AB 1", 2)
    assert edited["updated_at"] > edited["created_at"]


def test_a_renamed_field_is_renamed_in_the_rows(api: Api, path: str) -> None:
    api.post(path, {"plate": "AB 1", "load": 1.5})
    change = {"schema": {"load": {"action": "rename", "new_name": "tons"}}}
    api.put(path.replace("/data", "/schema"), change)
    (row,) = api.get(path)
    assert row["tons"] == 1.5
    assert "load" not in row


def test_rows_are_paged_filtered_and_counted(api: Api, path: str) -> None:
    api.post(path, [{"plate": f"AB {number}", "load": number} for number in range(5)])
    one = path.removesuffix("/data")

    def plates(query: str) -> list[str]:
        return [row["plate"][-1] for row in api.get(f"{path}?{query}")]

    assert plates("amount=2&page=2") == ["2", "3"]
    assert plates("amount=2&skip=4") == ["4"]
    assert plates("filter[plate]=AB 3") == ["3"]
    assert plates("filter[plate][0]=AB 3&filter[plate][1]=AB 1") == ["1", "3"]
    assert plates("filter[created_at][start]=1 hour&amount=1") == ["0"]
    assert plates("filter[created_at][end]=1 hour") == []
    assert plates("order[load]=desc&amount=2") == ["4", "3"]
    row = api.get(f"{path}?amount=1")[0]
    assert api.delete(path, {"ids": [row["id"]]}) == "1 item(s) deleted"
    assert api.get(f"{one}/data_amount") == 4
    assert api.post(f"{one}/empty") == {"message": "Data Successfully Removed"}
    assert api.get(f"{one}/data_amount") == 0


def test_fields_come_go_and_keep_their_types(api: Api, path: str) -> None:
    api.post(path, {"plate": "AB 1", "load": 1.5})
    schema = path.replace("/data", "/schema")
    fields = {"full": {"action": "create", "type": "boolean"}, "load": {"action": "delete"}}
    api.put(schema, {"schema": fields, "index": {"by_plate": {"fields": ["plate"]}}})
    (row,) = api.get(path)
    assert "load" not in row
    shown = api.get(path.removesuffix("/data"))
    assert set(shown["schema"]) == {"plate", "full"}
    assert shown["index"] == {"by_plate": {"fields": ["plate"]}}
    for body, says in (
        ({"plate": "AB 2", "load": 1}, "There is no field load"),
        ({"plate": "AB 2", "full": 1}, "full must be of the type boolean"),
        ({"plate": 7}, "plate must be of the type string"),
    ):
        assert api.call("POST", path, body) == (400, says)
    for change in (
        {"load": {"action": "delete"}},
        {"full": {"action": "rename", "new_name": "plate"}},
        {"new": {"action": "create", "type": "colour"}},
    ):
        assert api.call("PUT", schema, {"schema": change})[0] == 400


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_fields_do_not_change_while_rows_are_checked_by_them(
    api: Api, path: str, database: Connection, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    api.post(path, {"plate": "AB 1"})
    row = {"id": api.get(path)[0]["id"], "plate": "AB 2"}
    check, checked = entity_rows.check_row, []

    def check_row(*args: Any, **options: Any) -> Any:
        # What a change of the fields does first.
        with pytest.raises(psycopg.errors.LockNotAvailable):
            database.execute("SELECT FROM entity FOR UPDATE NOWAIT")
        database.rollback()
        checked.append(args)
        return check(*args, **options)

    monkeypatch.setattr(entity_rows, "check_row", check_row)
    assert api.call(method, path, row)[0] == 200
    assert checked


@pytest.mark.parametrize("body", [[1], {"plate": None}, {"ids": "x"}])
def test_rows_that_cannot_be_are_refused(api: Api, path: str, body: object) -> None:
    assert api.call("POST", path, body)[0] == 400
    assert api.call("PUT", path, [{"id": "nothing", "load": 1}])[0] == 400
    for ids in ({"ids": ["nothing"]}, {"ids": "nothing"}, {}):
        assert api.call("DELETE", path, ids)[0] == 400


def test_a_field_and_its_values_are_deleted_by_who_may_delete(project: Project, api: Api) -> None:
    writer = api_of(project, permission="write")
    made = api.post("/entity", {"name": "E", "schema": {"plate": {"type": "string"}}})["id"]
    api.post(f"/entity/{made}/data", {"plate": "X 1"})
    gone = {"schema": {"plate": {"action": "delete"}}}
    for path in (f"/entity/{made}", f"/entity/{made}/schema"):
        assert writer.call("PUT", path, gone) == (401, "Authorization Denied")
        assert writer.put(path, {"schema": {"other": {"type": "int"}}})
    assert api.get(f"/entity/{made}/data")[0]["plate"] == "X 1"
