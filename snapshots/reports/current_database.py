"""Open a main database to compare a backup with what it has now."""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import Connection

from backups_portal.lib import pgsession
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from snapshots.engine.source_database import source_errors

# How long a page may wait; all rows of a large device take longer.
CONNECT_SECONDS = 5
STATEMENT_MS = 3_000


@contextmanager
def current_database(project: Project) -> Iterator[Connection]:
    """Open the main database of a project for a page.

    Raises:
        SourceError: it does not answer in time, or refuses; also for the caller's own queries.
    """
    settings = {"statement_timeout": str(STATEMENT_MS)}
    with (
        source_errors(),
        pgsession.connect(
            project_dsn(project), connect_timeout=CONNECT_SECONDS, settings=settings
        ) as connection,
    ):
        yield connection
