"""Two main databases for a module's tests; each test begins with empty ones."""

from collections.abc import Iterator

import psycopg
import pytest

from restores.loading import Target
from tests.projectdatabases import main_database

EMPTIED = (
    "device, series, variable, dashboard, dictionary, entity, run_user, secret, token, action,"
    " transfer_run, change_mark"
)


@pytest.fixture(scope="package")
def databases() -> Iterator[tuple[Target, Target]]:
    """A source and a target."""
    with main_database() as source, main_database() as target:
        yield source, target


def empty(*databases: Target) -> None:
    """Take everything out."""
    for database in databases:
        with psycopg.connect(database.dsn) as connection:
            connection.execute(f"TRUNCATE {EMPTIED} RESTART IDENTITY CASCADE".encode())


@pytest.fixture
def source(databases: tuple[Target, Target]) -> Target:
    empty(databases[0])
    return databases[0]


@pytest.fixture
def target(databases: tuple[Target, Target]) -> Target:
    empty(databases[1])
    return databases[1]
