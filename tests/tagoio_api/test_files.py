"""A project's files: safe downloads, ranges, and uploads by forms."""

import io
import os
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backups_portal.projectdb import files, upload_parts
from backups_portal.projectdb.files import ANYTHING, put_file, spool_file
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from backups_portal.tagoio_api.files import shared_copies
from backups_portal.tagoio_api.routes.files import MANY
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api, api_of


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


@pytest.mark.parametrize("size", [-5, 2, 2**63 - 1])
def test_a_file_whose_size_sql_made_up_comes_whole(
    api: Api, database: Connection, size: int
) -> None:
    for path in ("map", "plan"):
        put_file(database, path=path, content=b"north")
    database.execute("UPDATE file SET size = %s", [size])
    database.commit()
    listed = api.get("/files")
    assert ([one["size"] for one in listed["files"]], listed["usage"]) == ([5, 5], 10)
    profile = api.get("/info")["id"]
    response = api.client.get(f"/file/{profile}/map", headers={"token": api.token})
    assert b"".join(response.streaming_content) == b"north"


@pytest.mark.parametrize("after", [os.urandom(1_700), None])
def test_a_file_that_is_replaced_while_it_is_read_comes_from_one_upload(
    database: Connection, monkeypatch: pytest.MonkeyPatch, after: bytes | None
) -> None:
    monkeypatch.setattr(files, "SLICE", 1_000)
    put_file(database, path="map", content=os.urandom(3_500))
    database.execute("UPDATE file SET updated_at = now() - interval '1 day'")
    execute, slices = database.execute, 0

    def meanwhile(query: str, *values: Any) -> Any:
        nonlocal slices
        found = execute(query, *values)
        slices += "substring" in query
        if slices == 2 and "substring" in query:
            files.delete_files(database, ["map"])
            if after is not None:
                put_file(database, path="map", content=after)
        return found

    monkeypatch.setattr(database, "execute", meanwhile)
    with spool_file(database, "map") as file:
        assert file.read() == (after or b"")


def test_a_file_that_is_replaced_all_the_time_is_read_in_the_end(
    database: Connection, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SLICE", 1_000)
    put_file(database, path="map", content=bytes(3_500))
    database.commit()
    execute, reads = database.execute, 0
    with psycopg.connect(project_dsn(project), autocommit=True) as owner:
        owner.execute("SET lock_timeout = '50ms'")

        def meanwhile(query: str, *values: Any) -> Any:
            nonlocal reads
            reads += 1
            assert reads < 50
            found = execute(query, *values)
            with suppress(psycopg.errors.LockNotAvailable):
                owner.execute("UPDATE file SET updated_at = clock_timestamp()")
            return found

        monkeypatch.setattr(database, "execute", meanwhile)
        with spool_file(database, "map") as file:
            assert file.read() == bytes(3_500)


def test_downloads_of_a_file_share_a_copy(
    api: Api, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file(database, path="map", content=b"north" * 100_000)
    database.commit()
    path = f"/file/{api.get('/info')['id']}/map"
    copied: list[str] = []

    def spool(connection: Connection, path: str) -> Any:
        copied.append(path)
        return spool_file(connection, path)

    monkeypatch.setattr(shared_copies, "spool_file", spool)
    responses = [api.client.get(path, headers={"token": api.token}) for _ in range(3)]
    # A new version is another file, for which there may be no room.
    put_file(database, path="map", content=b"south")
    database.commit()
    with monkeypatch.context() as patch:
        patch.setattr(shared_copies, "MAX_BYTES", 500_004)
        assert api.call("GET", path) == (503, MANY)
        for response in responses:
            assert response["Content-Length"] == "500000"
            assert b"".join(response.streaming_content) == b"north" * 100_000
        assert copied == ["map"]
        new = api.client.get(path, headers={"token": api.token})
    assert b"".join(new.streaming_content) == b"south"
    assert copied == ["map", "map"]
    assert not shared_copies._copies


def test_an_empty_file_comes_empty(api: Api, database: Connection) -> None:
    put_file(database, path="empty", content=b"")
    database.commit()
    profile = api.get("/info")["id"]
    response = api.client.get(f"/file/{profile}/empty", headers={"token": api.token})
    assert (response.status_code, b"".join(response.streaming_content)) == (200, b"")


@pytest.mark.parametrize(
    ("path", "said", "shown", "is_inline"),
    [
        ("a.png", ANYTHING, "image/png", True),
        ("a.jpg", ANYTHING, "image/jpeg", True),
        ("a", "image/gif", "image/gif", True),
        ("a.svg", ANYTHING, "image/svg+xml", False),
        ("a.png", "image/svg+xml", "image/svg+xml", False),
        ("a.html", ANYTHING, "text/html", False),
        ("a.png", "text/html; charset=utf-8", "text/html", False),
        ("a.pdf", ANYTHING, "application/pdf", False),
        ("a", ANYTHING, ANYTHING, False),
        ('q"uo;te\\.png', ANYTHING, "image/png", True),
        ("ü.txt", "text/plain\r\nX-Evil: 1", "text/plain", False),
        ("a.gif", "nonsense", "image/gif", True),
    ],
)
def test_files_are_served_with_their_type_and_run_nowhere(
    api: Api, database: Connection, path: str, said: str, shown: str, is_inline: bool
) -> None:
    put_file(database, path=path, content=b"<script>", content_type=said)
    database.commit()
    address = f"/file/{api.get('/info')['id']}/{quote(path)}"
    response = api.client.get(address, headers={"token": api.token})
    assert response.status_code == 200
    assert response["Content-Type"] == shown
    disposition = response.get("Content-Disposition", "inline")
    assert disposition.startswith("inline" if is_inline else "attachment")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert "X-Evil" not in response.headers


FORM = b'--b\r\nContent-Disposition: form-data; name="multipart_action"\r\n\r\nstart\r\n--b--\r\n'
PARTS = [
    b"--b",
    b"--",
    b"\r\n",
    b'Content-Disposition: form-data; name="file"; filename="a"',
    b"Content-Disposition: form-data",
    b'Content-Disposition: form-data; name="\xff"',
    b"Content-Type: text/plain; charset=nonsense",
    b"Content-Transfer-Encoding: base64",
    b"=",
    b"\x00\xff",
    b"multipart_action",
]
TYPES = [
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=b",
    'multipart/form-data; boundary="b',
    "multipart/form-data; boundary=" + "b" * 300,
    "multipart/form-data; boundary=b; charset=nonsense",
    "multipart/form-data; boundary=ü",
    "multipart/form-data; boundary*=utf-8''%00",
    "Multipart/Form-Data; boundary=b",
    "multipart/mixed; boundary=b",
]


def sent(api: Api, content_type: str, body: bytes, **headers: str) -> int:
    response = api.client.generic(
        "POST", "/files", body, content_type, headers={"token": api.token, **headers}
    )
    answer = response.json()
    assert answer["status"] is (response.status_code == 200)
    assert answer["status"] or answer["message"]
    return response.status_code


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(TYPES), st.lists(st.sampled_from(PARTS), max_size=12).map(b"".join))
@example("multipart/form-data", FORM)
@example("multipart/form-data; boundary=b", FORM)
def test_no_form_is_a_defect(api: Api, content_type: str, body: bytes) -> None:
    api.client.raise_request_exception = False
    assert sent(api, content_type, body) in (200, 400)


def test_forms_that_are_too_much(api: Api) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="x%d"%b\r\n\r\n1\r\n'
    for filename, count in ((b"", 3000), (b'; filename="a"', 300)):
        body = b"".join(part % (number, filename) for number in range(count)) + b"--b--\r\n"
        assert sent(api, "multipart/form-data; boundary=b", body) == 400


def test_an_address_without_a_token_ends_with_the_token_that_asked_for_it(
    api: Api, project: Project, database: Connection
) -> None:
    put_file(database, path="a.txt", content=b"marker")
    put_file(database, path="b.txt", content=b"hello", public=True)
    analysis = api.post("/analysis", {"name": "A"})["id"]
    api.post(f"/analysis/{analysis}/upload", {"file": "bWFya2Vy"})
    asking = api_of(project, permission="read")
    private, public = (
        asking.get(f"/file/{project.profile_id}/{name}.txt?noRedirect=true") for name in "ab"
    )
    script = asking.get(f"/analysis/{analysis}/download")["url"]
    found = [Client().get(one).status_code for one in (private, public, script)]
    assert found == [200, 200, 200]
    database.execute("DELETE FROM token WHERE permission = 'read'")
    found = [Client().get(one).status_code for one in (private, public, script)]
    assert found == [403, 200, 403]
    # A public file can be copied by anybody, unless it is not public any more.
    open_to_all = f"/file/{project.profile_id}/b.txt?noRedirect=true"
    public = Client().get(open_to_all).json()["result"]
    files.set_public(database, "b.txt", False)
    assert Client().get(public).status_code == 403


@pytest.mark.parametrize("number", ["0", "1001", "x", "1.5", "", "9" * 5000])
def test_a_part_has_a_number_up_to_a_thousand(api: Api, number: str) -> None:
    fields = {"multipart_action": "upload", "upload_id": "a" * 24, "part": number}
    response = api.client.post(
        "/files", {**fields, "file": io.BytesIO(b"x")}, headers={"token": api.token}
    )
    assert response.status_code == 400
    assert response.json()["message"] == "A part has a file and a number from 1 to 1000"


def send_part(api: Api, upload_id: str) -> Any:
    fields = {"upload_id": upload_id, "part": "1", "multipart_action": "upload"}
    form = {**fields, "file": io.BytesIO(b"x")}
    return api.client.post("/files", form, headers={"token": api.token}).json()


def uploaded(api: Api) -> dict[str, Any]:
    """Upload a part of a file; return the step that ends the upload."""
    upload = api.post("/files", {"multipart_action": "start", "filename": "a"})
    parts = [{"PartNumber": 1, "ETag": send_part(api, upload)["result"]["ETag"]}]
    return {"upload_id": upload, "multipart_action": "end", "parts": parts}


@pytest.mark.parametrize(("step", "others"), [("parts_of", "SHARE"), ("put_part", "UPDATE")])
def test_an_upload_ends_once_and_takes_no_part_meanwhile(
    api: Api, database: Connection, monkeypatch: pytest.MonkeyPatch, step: str, others: str
) -> None:
    do, seen = getattr(upload_parts, step), []

    def alone(*args: Any) -> Any:
        # What another request for the same upload does first.
        with pytest.raises(psycopg.errors.LockNotAvailable):
            database.execute(f"SELECT FROM file WHERE path LIKE '%/00000' FOR {others} NOWAIT")
        database.rollback()
        seen.append(args)
        return do(*args)

    monkeypatch.setattr(upload_parts, step, alone)
    end = uploaded(api)
    assert api.post("/files", end)
    assert seen
    assert api.call("POST", "/files", end) == (404, "Upload Not Found")
    assert send_part(api, end["upload_id"])["message"] == "Upload Not Found"


def test_an_upload_whose_address_cannot_be_told_is_not_stored(api: Api) -> None:
    api.client.raise_request_exception = False
    end = uploaded(api)
    for host in ("exa mple", "[::1", "a..b/c"):
        refused = (400, "The request cannot be read")
        assert api.call("POST", "/files", end, host=host) == refused
    assert api.get("/files")["total"] == 0
    assert api.post("/files", end)["file"].endswith("/a")


def test_a_folder_is_listed_in_pages(api: Api) -> None:
    names = [f"a/{number}.txt" for number in range(5)]
    api.post("/files", [{"filename": f"/{name}", "file": "YQ=="} for name in [*names, "a/b/c"]])
    found, asked = [], "/files?path=/a/&qty=2"
    while True:
        page = api.get(asked)
        assert (page["folders"], page["total"], page["usage"]) == (["b"], 5, 6)
        found += [one["filename"] for one in page["files"]]
        if "pagination_token" not in page:
            break
        asked = f"/files?path=/a/&qty=2&pagination_token={quote(page['pagination_token'])}"
    assert found == names
    profile = api.get("/info")["id"]
    assert api.get(f"/file/{profile}/a/0.txt?md5=True") == "0cc175b9c0f1b6a831c399e269772661"
    assert api.get("/files/permission?file=/a/0.txt") == {"public": False}
