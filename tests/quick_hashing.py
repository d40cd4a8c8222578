"""Password hashes that take no time, in each process that asks for them."""

from django.contrib.auth.hashers import Argon2PasswordHasher


def hash_quickly() -> None:
    """Hash with as little work as Argon2 allows: no test is about how long that takes."""
    Argon2PasswordHasher.time_cost = 1
    Argon2PasswordHasher.memory_cost = 8
    Argon2PasswordHasher.parallelism = 1
