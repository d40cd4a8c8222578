"""The reason for a storage failure is useful, but has no address, path or full answer."""

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from backups_portal.lib.addresses.url import without_secrets
from snapshots.engine.bucket_settings import OBJECT_LOCK
from snapshots.engine.errors import MissingObjectError, StorageError
from snapshots.engine.storage import Storage, open_storage
from tests.s3 import Answer, Proxy, bucket_url, proxy_before, s3_server, well

TOKEN = "FQoGZXIvYXdzE" * 3
XML = [("Content-Type", "application/xml")]
BODY = "<?xml version='1.0'?>\n<Error><Code>{}</Code><HostId>rack-7</HostId></Error>"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with (
        s3_server(tmp_path_factory.mktemp("s3")) as endpoint,
        proxy_before(endpoint) as found,
    ):
        yield found


def failed(storage: Storage) -> str:
    with pytest.raises(StorageError) as caught:
        storage.put("project/x", b"content")
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (507, "InsufficientStorage", "507 Insufficient Storage (InsufficientStorage)"),
        (403, "QuotaExceeded", "403 Forbidden (QuotaExceeded)"),
        (400, "ExpiredToken", "400 Bad Request (ExpiredToken)"),
        (502, "", "502 Bad Gateway"),
    ],
)
def test_a_refusal_of_a_bucket_is_its_status_and_its_code(
    proxy: Proxy, caplog: pytest.LogCaptureFixture, status: int, code: str, said: str
) -> None:
    body = BODY.format(code) if code else "<html>nginx on rack-7</html>"
    proxy.fault = lambda *_: Answer(status, XML, body.encode())
    text = failed(open_storage(bucket_url(proxy.endpoint, "p", max_retries="0")))
    assert text == f"The backup storage could not write project/x: the server answered {said}."
    assert "rack-7" in caplog.text, "the operator's log has all of it"


def test_a_token_that_a_bucket_repeats_reaches_no_log(
    proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal of a signature holds the headers of its request, as text and in hexadecimal."""
    headers = f"host:s3.example.com\nx-amz-security-token:{TOKEN}\n"
    echo = (
        f"<CanonicalRequest>GET\n/\n{headers}</CanonicalRequest>"
        f"<CanonicalRequestBytes>{headers.encode().hex(' ')}</CanonicalRequestBytes></Error>"
    )
    body = BODY.format("SignatureDoesNotMatch").replace("</Error>", echo)
    proxy.fault = lambda *_: Answer(403, XML, body.encode())
    storage = open_storage(bucket_url(proxy.endpoint, "p", max_retries="0", session_token=TOKEN))
    with pytest.raises(StorageError, match=r"403 Forbidden \(SignatureDoesNotMatch\)") as caught:
        storage.put("project/x", b"content")
    logged = caplog.text + without_secrets("".join(traceback.format_exception(caught.value)))
    assert "rack-7" in logged
    assert TOKEN not in logged
    assert TOKEN.encode().hex(" ") not in logged


def test_a_bucket_of_another_region_is_named_as_one(proxy: Proxy) -> None:
    proxy.fault = lambda *_: Answer(301, XML, BODY.format("PermanentRedirect").encode())
    text = failed(open_storage(bucket_url(proxy.endpoint, "p", max_retries="0")))
    assert text.endswith("project/x: the bucket is in another region than its settings say.")


@pytest.mark.parametrize("lock", [{}, {OBJECT_LOCK: "governance"}])
def test_a_server_that_is_not_there_is_not_named(lock: dict[str, str]) -> None:
    storage = open_storage(bucket_url("http://127.0.0.1:1", "p", max_retries="0", **lock))
    texts = [failed(storage)]
    if storage.lock:
        with pytest.raises(StorageError) as caught:
            storage.lock.check()
        texts.append(str(caught.value))
    for text in texts:
        assert re.fullmatch(r"The backup storage .*: the server did not answer\.", text), text
        assert "127.0.0.1" not in text


def test_an_answer_that_breaks_off_is_one(proxy: Proxy) -> None:
    storage = open_storage(bucket_url(proxy.endpoint, "p", max_retries="0"))
    proxy.fault = well
    storage.put("project/x", b"content")
    proxy.fault = lambda *_: Answer(
        200, [("Last-Modified", "Sun, 29 Nov 2026 10:00:00 GMT")], b"x" * 99, sent=9
    )
    with pytest.raises(StorageError, match=r"project/x: the server's answer broke off\.$"):
        storage.get("project/x")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (BODY.format("NoSuchBucket"), r" \(NoSuchBucket\)"),
        ("404 page not found", ""),
        ("<html>nginx on rack-7</html>", ""),
    ],
)
def test_a_404_about_anything_but_the_object_does_not_say_that_it_is_missing(
    proxy: Proxy, body: str, said: str
) -> None:
    """A proxy answers 404 while the server behind it is away, and so does a deleted bucket."""
    storage = open_storage(bucket_url(proxy.endpoint, "p", max_retries="0"))
    proxy.fault = well
    storage.put("project/kept", b"content")
    proxy.fault = lambda *_: Answer(404, [], body.encode())
    with pytest.raises(StorageError, match=rf"the server answered 404 Not Found{said}\.$") as read:
        storage.get("project/kept")
    assert not isinstance(read.value, MissingObjectError)
    with pytest.raises(StorageError, match=rf"could not delete .* 404 Not Found{said}\.$"):
        storage.delete("project/kept")


@pytest.mark.parametrize("body", [BODY.format("NoSuchKey"), ""])
def test_a_404_about_the_object_says_that_it_is_missing(proxy: Proxy, body: str) -> None:
    storage = open_storage(bucket_url(proxy.endpoint, "p", max_retries="0"))
    proxy.fault = lambda *_: Answer(404, [], body.encode())
    with pytest.raises(MissingObjectError, match=r"lacks project/x\.$"):
        storage.get("project/x")


def test_a_folder_fails_by_the_systems_words(tmp_path: Path) -> None:
    (tmp_path / "project").touch()
    text = failed(open_storage(f"file://{tmp_path}"))
    assert text == "The backup storage could not write project/x: Not a directory."
