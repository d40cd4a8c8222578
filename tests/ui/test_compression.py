"""Pages are sent compressed, and nothing else is by the portal."""

import gzip

import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from backups_portal.ui.compression import PageCompressionMiddleware
from tests import factories

GZIP = {"Accept-Encoding": "gzip, br"}


def answered(response: HttpResponse | StreamingHttpResponse) -> str:
    """The encoding that a response leaves with."""

    def get_response(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        return response

    request = RequestFactory().get("/", headers=GZIP)
    return PageCompressionMiddleware(get_response)(request).headers.get("Content-Encoding", "")


@pytest.mark.django_db
def test_a_page_is_compressed_for_who_understands_it(client: Client) -> None:
    client.force_login(factories.make_account())
    plain = client.get("/")
    assert "Content-Encoding" not in plain.headers
    packed = client.get("/", headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert len(packed.content) < len(plain.content) / 2
    assert gzip.decompress(packed.content).startswith(b"<!DOCTYPE html>")


def test_downloads_are_left_alone() -> None:
    assert answered(HttpResponse("x" * 1000, content_type="text/html; charset=utf-8")) == "gzip"
    assert answered(HttpResponse("x" * 1000, content_type="text/csv; charset=utf-8")) == ""
    assert answered(StreamingHttpResponse([b"x" * 1000], content_type="application/zip")) == ""
