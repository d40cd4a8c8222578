"""A main database without a project."""

from collections.abc import Iterator

import pytest

from tests.projectdatabases import Connection, Target, main_database, open_database


@pytest.fixture
def target(project_server: str) -> Iterator[Target]:
    with main_database() as made:
        yield made


@pytest.fixture
def database(target: Target) -> Iterator[Connection]:
    with open_database(target) as connection:
        yield connection
