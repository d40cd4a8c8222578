"""A storage URL, and how obstore and botocore interpret it."""

import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups_portal.lib.addresses import object_storage
from backups_portal.lib.addresses.url import AddressError
from backups_portal.lib.logs import FieldsFormatter, LineFormatter
from snapshots.engine.errors import StorageError
from snapshots.engine.storage import open_storage, place_of

SECRET = "s3cretpart"
REGION = "region=us-east-1&access_key_id=a"


@pytest.mark.parametrize("name", ["plain", "a b", "#1", "50%", "w?y", "ü", "a+b", "a&b=c"])
def test_a_folder_is_the_one_that_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    for url in (folder.as_uri(), f"file://localhost{quote(str(folder))}"):
        open_storage(url).put("key", url.encode())
        assert (folder / "key").read_bytes() == url.encode()


def test_a_number_sign_does_not_cut_a_folder_off(tmp_path: Path) -> None:
    open_storage(f"file://{tmp_path}/a#b").put("key", b"x")
    assert [found.name for found in tmp_path.iterdir()] == ["a#b"]


REFUSED = {
    "file://data/x": "three slashes",
    "file:data/x": "not the address of a storage",
    "file:///": "three slashes",
    "/var/lib/snapshots": "not the address of a storage",
    "": "not the address of a storage",
    "file:///data?object_lock=governance": "object_lock is for buckets",
    "file:///data?x=1": "a folder takes no parameters",
    "s3://": "not the address of a storage",
    "s3:///prefix": "names no bucket",
    f"s3://key:{SECRET}@bucket/prefix": "Keys do not go before the bucket",
    f"s3://key:{SECRET}/rest@bucket/prefix": "Keys do not go before the bucket",
    f"s3://b/p?{REGION}&secret_access_key=x&{SECRET}": "write %26",
    f"s3://b/p?{REGION}&secret_access_key=x&{SECRET}+/=&y=1": "write %26",
    f"s3://b/p?{REGION}&secret_access_key=x&{SECRET}=": "parameters is not valid for",
    f"s3://b/p?{REGION}&colour=red&secret_access_key={SECRET}": "'colour' is not valid",
    f"s3://b/p?secret_access_key={SECRET}&secret_access_key={SECRET}": "is repeated",
    f"s3://b/p?{REGION}&endpoint=https://u:{SECRET}@h&secret_access_key=x": "endpoint has no name",
    f"s3://b/p?{REGION}&secret_access_key=x&virtual_hosted_style_request={SECRET}": "as boolean",
    f"s3://b/p?{REGION}&secret_access_key=x&timeout={SECRET}": "as Duration",
    f"s3://b/p?{REGION}&max_retries={SECRET}": "max_retries is not a number",
    f"nothing://u:{SECRET}@b/p": "Keys do not go",
    f"nothing://b/p?key={SECRET}": "cannot be opened",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_meant_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StorageError) as refused:
        open_storage(url)
    assert REFUSED[url].lower() in str(refused.value).lower()
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


SAFE = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1)


@settings(max_examples=25, deadline=None)
@given(secret=SAFE, prefix=st.lists(st.sampled_from(["a", "a b", "#", "%", "é", "+"]), min_size=1))
def test_every_client_of_a_bucket_gets_what_the_address_says(
    secret: str, prefix: list[str]
) -> None:
    path = "/".join(prefix)
    written = secret.replace("%", "%25").replace("&", "%26")
    url = f"s3://bucket/{quote(path)}?object_lock=governance&{REGION}&secret_access_key={written}"
    storage = open_storage(url)
    store: Any = storage._store
    assert (store.prefix, store.config["secret_access_key"]) == (path, secret)
    assert storage.lock is not None
    assert (storage.lock.bucket, storage.lock.prefix) == ("bucket", f"{path}/")
    # The parameters of botocore's client.
    assert dict(storage.lock._settings.parameters)["secret_access_key"] == secret
    assert secret not in repr(storage.lock._settings) or len(secret) < 12


def test_the_place_does_not_say_what_opens_it() -> None:
    url = f"s3://b/p?endpoint=https://h:9000&{REGION}&secret_access_key={SECRET}"
    assert place_of(url) == "s3://b/p at https://h:9000"
    assert SECRET not in repr(object_storage.parse(url))
    assert object_storage.normalized(f" {url}\n") == url


def test_errors_of_requests_show_no_password_of_a_proxy(caplog: pytest.LogCaptureFixture) -> None:
    """The password is neither in the message nor in a logged traceback."""
    url = (
        f"s3://b/p?{REGION}&secret_access_key=x&endpoint=http://127.0.0.1:1&allow_http=true"
        f"&proxy_url=http://u:{SECRET}@127.0.0.1:1&max_retries=0&object_lock=governance"
    )
    storage = open_storage(url)
    assert storage.lock is not None
    for ask in (lambda: storage.get("key"), lambda: storage.lock.check()):  # type: ignore[union-attr]
        with pytest.raises(StorageError) as failed:
            ask()
        assert SECRET not in str(failed.value)
        logging.getLogger("tests").error(
            "it failed",
            exc_info=(type(failed.value), failed.value, failed.value.__traceback__),
        )
    for formatter in (LineFormatter(), FieldsFormatter()):
        written = "".join(formatter.format(record) for record in caplog.records)
        assert "it failed" in written
        assert SECRET not in written


@pytest.mark.parametrize("url", ["file://data/x", "s3://k:v@b/p", "nonsense"])
def test_the_settings_refuse_the_same(url: str) -> None:
    with pytest.raises(AddressError):
        object_storage.normalized(url)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("s3://b/p/", "s3://b/p"),
        ("s3://b/", "s3://b"),
        ("s3://b/./p", "s3://b/p"),
        ("file:///var/x/", "file:///var/x"),
        ("file:////var//y/../x", "file:///var/x"),
    ],
)
def test_a_place_has_one_name_however_it_is_written(written: str, place: str) -> None:
    assert place_of(written) == place
