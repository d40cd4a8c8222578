"""Large bodies are refused before they are read, so that they fill nothing."""

import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests import factories
from tests.conftest import database_of_this_test
from tests.contract.server import running


def said(client: Client, path: str, size: int) -> int:
    """Return the answer to a form that announces this size; none of it is sent."""
    response = client.generic(
        "POST", path, b"", "multipart/form-data; boundary=x", CONTENT_LENGTH=str(size)
    )
    return response.status_code


@pytest.mark.django_db
def test_a_form_may_be_so_large_and_no_larger(client: Client) -> None:
    form = {"username": "a@example.com", "password": "x"}
    assert client.post("/sign-in/", {**form, "more": "x" * 990_000}).status_code == 400
    response = client.post("/sign-in/", {**form, "more": "x" * 1_010_000})
    assert response.status_code == 413
    assert "The limit here is 1 MB" in response.content.decode()
    assert "Content-Security-Policy" in response.headers


@pytest.mark.django_db
def test_only_who_is_signed_in_sends_a_file(client: Client) -> None:
    project = factories.make_project_row()
    path = f"/projects/{project.slug}/data/"
    assert said(client, path, 2_000_000) == 413
    client.force_login(project.created_by)
    assert said(client, path, 300_000_000) == 413
    assert said(client, f"/projects/{project.slug}/members/", 2_000_000) == 413
    # A file within the page's limit is read, though its device does not exist.
    content = b"variable,value\r\n" + b"a" * 3_000_000
    file = SimpleUploadedFile("data.csv", content)
    response = client.post(path, {"device": "ab" * 12, "file": file, "preview": "1"})
    assert response.status_code in (200, 400)
    assert "database is not responding" in response.text


@pytest.mark.django_db(transaction=True)
def test_gunicorn_answers_before_anything_has_come(tmp_path: Path) -> None:
    # Serve static files without collecting them.
    environment = {**database_of_this_test(), "DEBUG": "1"}
    with running("backups_portal.asgi", environment, tmp_path / "web.log") as url:
        for headers, status, sentence in (
            ({"Content-Length": "500000000"}, 413, b"That's too large"),
            ({"Transfer-Encoding": "chunked"}, 411, b"The request doesn't say how large it is"),
        ):
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
            connection.putrequest("POST", "/sign-in/")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            assert answer.status == status
            assert sentence in answer.read()
            connection.close()
