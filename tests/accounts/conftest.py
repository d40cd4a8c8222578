"""Passwords that are hashed in a millisecond, as no test is about how long that takes."""

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher

from tests.factories import hashed_password


@pytest.fixture(autouse=True)
def _hashing_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # What other tests share is made as a deployment makes it.
    hashed_password()
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 1)
    monkeypatch.setattr(Argon2PasswordHasher, "memory_cost", 64)
