"""How large a main database is at this moment."""

import logging

import psycopg

from backups_portal.projects.connections import project_dsn
from backups_portal.projects.errors import DatabaseUnreachableError
from backups_portal.projects.models import Project

log = logging.getLogger(__name__)

# Somebody waits for the answer, and can ask again.
PATIENCE_SECONDS = 2


def database_size(project: Project) -> int:
    """The bytes that its files take, with indexes and what was deleted and not yet reused.

    Raises:
        DatabaseUnreachableError: it does not answer soon.
    """
    try:
        dsn = project_dsn(project, statement_seconds=PATIENCE_SECONDS)
        with psycopg.connect(dsn, connect_timeout=PATIENCE_SECONDS) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    except psycopg.OperationalError as error:
        log.warning("main database cannot be measured project=%s", project.pk, exc_info=True)
        raise DatabaseUnreachableError("The main database does not answer.") from error
    return int(row[0]) if row else 0
