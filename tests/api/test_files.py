"""Files of a project: however large one is, it leaves in slices."""

import os

import pytest

from backups_portal.projectdb import files
from backups_portal.projectdb.files import put_file
from tests.api.conftest import Api
from tests.projectdatabases import Connection


def test_a_file_larger_than_a_slice_comes_whole(
    api: Api, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SLICE", 1_000)
    content = os.urandom(3_500)
    put_file(database, path="maps/north.bin", content=content)
    database.commit()
    profile = api.get("/info")["id"]

    response = api.client.get(f"/file/{profile}/maps/north.bin", headers={"token": api.token})

    assert response.streaming
    assert response["Content-Length"] == "3500"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert b"".join(response.streaming_content) == content


def test_an_empty_file_comes_empty(api: Api, database: Connection) -> None:
    put_file(database, path="empty", content=b"")
    database.commit()
    profile = api.get("/info")["id"]
    response = api.client.get(f"/file/{profile}/empty", headers={"token": api.token})
    assert (response.status_code, b"".join(response.streaming_content)) == (200, b"")
