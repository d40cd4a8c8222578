"""A project with a real main database."""

from collections.abc import Iterator
from typing import Any

import pytest

from backups_portal.projects.database_dsn import PASSWORD_PURPOSE, keyring
from backups_portal.projects.models import Project
from backups_portal.projects.servers import register_server
from tests.factories import make_project_row
from tests.projectdatabases import main_database


@pytest.fixture
def live_project(db: None, settings: Any) -> Iterator[Project]:
    """A running project with an empty main database."""
    with main_database() as target:
        yield make_project_row(
            prefix=target.prefix,
            database=f"bp_{target.prefix}",
            role=f"bp_{target.prefix}",
            server=register_server("main", settings.PROJECT_DATABASE_URL),
            sealed_password=keyring().seal("secret", PASSWORD_PURPOSE),
        )
