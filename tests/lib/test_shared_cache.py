"""Values shared by processes in Redis, and remembered by one while Redis is away."""

from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.core.cache import caches
from django.test import Client
from pytest_django import Settings

from backups_portal.lib.shared_cache import SharedCache
from backups_portal.sign_in_settings import shared_cache
from tests import factories
from tests.accounts.test_security import code_of, turn_on
from tests.accounts.test_sign_in import sign_in

AWAY = "redis://127.0.0.1:1/0"


def cache_at(url: str) -> SharedCache:
    made = shared_cache(url)
    return SharedCache(url, {"KEY_PREFIX": "test", "OPTIONS": made["OPTIONS"]})


@pytest.mark.parametrize("url", [django_settings.REDIS_URL, AWAY], ids=["there", "away"])
def test_what_is_there_is_not_added_again(url: str) -> None:
    cache, key = cache_at(url), str(uuid4())
    assert [cache.add(key, "y", timeout=30), cache.add(key, "y", timeout=30)] == [True, False]
    assert cache.get(key) == "y"
    cache.set(key, [1.5], 30)
    assert cache.get(key, []) == [1.5]
    assert [cache.delete(key), cache.delete(key)] == [True, False]
    assert cache.get(key, "gone") == "gone"


def test_processes_share_it() -> None:
    key = str(uuid4())
    cache_at(django_settings.REDIS_URL).set(key, 1, 30)
    assert cache_at(django_settings.REDIS_URL).get(key) == 1
    cache_at(AWAY).set(key, 2, 30)
    assert cache_at(django_settings.REDIS_URL).get(key) == 1


@pytest.mark.django_db
def test_without_redis_codes_sign_in_once_and_guesses_are_counted(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = factories.make_account()
    sign_in(client, account.email)
    turn_on(client, account)
    settings.REDIS_URL = AWAY
    cache = caches["default"]
    away = cache_at(AWAY)
    for name in ("add", "get", "set", "delete"):
        monkeypatch.setattr(cache, name, getattr(away, name), raising=False)
    code = code_of(account)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for expected in (302, 400):
        visitor = Client()
        assert sign_in(visitor, account.email)["Location"] == "/sign-in/code/"
        assert visitor.post("/sign-in/code/", {"code": code}).status_code == expected
    answers = [visitor.post("/sign-in/code/", {"code": wrong}).status_code for _ in range(6)]
    assert answers == [400] * 4 + [429] * 2
