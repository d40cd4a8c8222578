"""The portal compresses pages, and nothing else."""

import gzip

import brotli
import pytest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from backups_portal.ui.compression import PageCompressionMiddleware
from tests import factories

READS = {"gzip": gzip.decompress, "br": brotli.decompress}
ACCEPTED = {"gzip": "gzip, deflate", "br": "gzip, deflate, br, zstd"}


def answered(response: HttpResponse | StreamingHttpResponse, accepted: str = "gzip, br") -> str:
    """Return the content encoding of a response."""

    def get_response(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        return response

    request = RequestFactory().get("/", headers={"Accept-Encoding": accepted})
    return PageCompressionMiddleware(get_response)(request).headers.get("Content-Encoding", "")


@pytest.mark.django_db
@pytest.mark.parametrize("encoding", READS)
def test_a_page_is_compressed_for_who_understands_it(client: Client, encoding: str) -> None:
    client.force_login(factories.make_account())
    plain = client.get("/")
    assert "Content-Encoding" not in plain.headers
    packed = client.get("/", headers={"Accept-Encoding": ACCEPTED[encoding]})
    assert packed.headers["Content-Encoding"] == encoding
    assert packed.headers["Content-Length"] == str(len(packed.content))
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert len(packed.content) < len(plain.content) / 2
    assert READS[encoding](packed.content).startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("accepted", ACCEPTED.values())
def test_the_length_of_a_page_says_nothing_about_it(accepted: str) -> None:
    def length() -> int:
        page = HttpResponse("the same " * 100, content_type="text/html; charset=utf-8")
        request = RequestFactory().get("/", headers={"Accept-Encoding": accepted})
        return len(PageCompressionMiddleware(lambda _: page)(request).content)

    assert len({length() for _ in range(30)}) > 5


def test_downloads_are_left_alone() -> None:
    assert answered(HttpResponse("x" * 1000, content_type="text/html; charset=utf-8")) == "br"
    assert answered(HttpResponse("x" * 1000, content_type="text/html"), "gzip") == "gzip"
    assert answered(HttpResponse("x" * 1000, content_type="text/html"), "identity") == ""
    assert answered(HttpResponse("short", content_type="text/html")) == ""
    assert answered(HttpResponse("x" * 1000, content_type="text/csv; charset=utf-8")) == ""
    assert answered(StreamingHttpResponse([b"x" * 1000], content_type="application/zip")) == ""
