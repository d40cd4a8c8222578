"""Cheap password hashes for each process that requests them."""

from functools import partial

from argon2 import PasswordHasher
from django.contrib.auth.hashers import Argon2PasswordHasher

from backups_portal.projectdb import credentials


def hash_quickly() -> None:
    """Hash with as little work as Argon2 allows, since no test is about its cost."""
    least = {"time_cost": 1, "memory_cost": 8, "parallelism": 1}
    for name, value in least.items():
        setattr(Argon2PasswordHasher, name, value)
    credentials.PasswordHasher = partial(PasswordHasher, **least)  # type: ignore[misc]
