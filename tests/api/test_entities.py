"""Rows of entities: in the order in which they came, checked by the entity's fields."""

import pytest

from tests.api.conftest import Api

FIELDS = {
    "plate": {"action": "create", "type": "string", "required": True},
    "load": {"action": "create", "type": "float"},
}


@pytest.fixture
def path(api: Api) -> str:
    """The rows of an entity."""
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
