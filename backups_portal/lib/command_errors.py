"""Sentences for errors of the portal's database that end a command.

They occur if a step of an installation or update was forgotten.
"""

from django.db import DatabaseError
from django.db.migrations.exceptions import MigrationSchemaMissing

from backups_portal.lib.database_outage import DJANGO_ERRORS, outage_in_words
from backups_portal.lib.failure_causes import first_line

ERRORS = (DatabaseError, *DJANGO_ERRORS, MigrationSchemaMissing)
NOT_MIGRATED = (
    "The tables of the portal's database are not those of this version: run "
    "`python manage.py migrate`."
)
# By SQLSTATE (PostgreSQL, Appendix A): undefined tables and columns.
SENTENCES = {"42P01": NOT_MIGRATED, "42703": NOT_MIGRATED}


def in_a_sentence(error: Exception) -> str:
    """Explain one of ERRORS; "" if it can only be a bug."""
    if isinstance(error, MigrationSchemaMissing):
        return _no_tables(error.__context__ or error)
    if isinstance(error, DJANGO_ERRORS):
        return outage_in_words(error)
    return SENTENCES.get(getattr(error.__cause__, "sqlstate", ""), "")


def _no_tables(error: BaseException) -> str:
    return (
        f"The portal's role cannot create tables in its database: {first_line(error)}. If it lacks "
        "the right, make it the owner: ALTER DATABASE name OWNER TO role."
    )
