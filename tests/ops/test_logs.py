"""The origin that each log line names."""

import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery import shared_task
from django.test import Client
from django_guid import clear_guid, set_guid

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.logs import FieldsFormatter, LineFormatter, WhereFilter


class Kept(logging.Handler):
    """Keeps the last record as the portal's handlers receive it."""

    def emit(self, record: logging.LogRecord) -> None:
        assert WhereFilter().filter(record)
        self.record = record


def record(text: str, *args: object, **values: Any) -> logging.LogRecord:
    logger, kept = logging.getLogger("somewhere"), Kept()
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    try:
        get_logger("somewhere").info(text, *args, **values)
    finally:
        logger.removeHandler(kept)
    return kept.record


@pytest.fixture
def request_id() -> Iterator[str]:
    set_guid("ab12")
    yield "ab12"
    clear_guid()


def test_values_have_the_names_that_the_call_gives_them() -> None:
    made = record("snapshot ends for %s in 100%%", "x", rows=5, took=1.25, name="y")
    assert made.getMessage() == "snapshot ends for x in 100% rows=5 took=1.25 name=y"
    line = json.loads(FieldsFormatter().format(made))
    assert (line["rows"], line["took"], line["name"]) == (5, 1.25, "y")
    assert record("100% nothing").getMessage() == "100% nothing"


def test_a_value_makes_no_other_value_and_no_line() -> None:
    made = record("refused", path="/a b=c", agent="x\nforged")
    assert made.getMessage() == "refused path='/a b=c' agent='x\\nforged'"


def test_a_record_of_a_library_keeps_what_it_says_besides() -> None:
    made = logging.makeLogRecord({"msg": "%(rows)s rows", "args": {"rows": 5}, "status_code": 404})
    line = json.loads(FieldsFormatter().format(made))
    assert (line["message"], line["status_code"]) == ("5 rows", 404)


def test_json_has_every_value_under_its_name(request_id: str) -> None:
    line = json.loads(FieldsFormatter().format(record("begins", snapshot=uuid.UUID(int=1))))
    assert line["snapshot"] == "00000000-0000-0000-0000-000000000001"
    assert (line["level"], line["logger"], line["request"]) == ("INFO", "somewhere", request_id)
    assert line["message"].startswith("begins snapshot=0000")
    assert line["time"].endswith("Z")
    assert "task" not in line


def test_a_value_replaces_nothing_that_is_ours() -> None:
    line = json.loads(FieldsFormatter().format(record("so", level=1, message=2, task=3)))
    assert (line["level"], line["message"]) == ("INFO", "so level=1 message=2 task=3")
    assert "task" not in line


def test_an_error_is_in_the_same_object() -> None:
    try:
        raise ValueError("with a\nline break")
    except ValueError:
        made = record("it broke", exc_info=True)
    (text,) = FieldsFormatter().format(made).splitlines()
    assert "line break" in json.loads(text)["exc_info"]


def test_a_line_for_people_says_the_same(request_id: str) -> None:
    assert (
        LineFormatter()
        .format(record("begins", rows=5))
        .endswith(f"INFO somewhere begins rows=5 request={request_id}")
    )
    clear_guid()
    assert LineFormatter().format(record("begins")).endswith("somewhere begins")


def test_a_task_is_named() -> None:
    @shared_task
    def look() -> logging.LogRecord:
        return record("in it")

    ended = look.apply()
    assert ended.get().task_id == ended.id


@pytest.mark.django_db
def test_a_request_keeps_a_good_id_and_gets_one_otherwise(client: Client) -> None:
    given = uuid.uuid4().hex
    assert client.get("/healthz", headers={"x-request-id": given})["X-Request-ID"] == given
    made = client.get("/healthz", headers={"x-request-id": "forged\tline"})["X-Request-ID"]
    assert uuid.UUID(made)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/device/token/7d1c22ab-0c6e-4a9e-8f3f-2b1a90cde001", "/device/token/***"),
        (
            "/profile/5f1f/token/p-7d1c22ab-0c6e-4a9e-8f3f-2b1a90cde001",
            "/profile/5f1f/token/***",
        ),
        ("/backups/eyJhIjoxfQ:1vXyZa:0123456789abcdefghijkl/", "/backups/***/"),
        ("/device/5f1fce12dbf540328f75ee04", "/device/5f1fce12dbf540328f75ee04"),
    ],
)
def test_an_address_keeps_no_token(caplog: pytest.LogCaptureFixture, path: str, said: str) -> None:
    Client().get(path)
    assert f"Not Found: {said}" in caplog.messages
