"""The activity's line of an import, even if its process is killed.

Rows and line are committed to two databases, one after the other. So a CsvRequest in the portal's
database says that an import is under way, and a marker, stored with the rows, has the line's text.
If the process dies in between, the tick sends the request, and a worker looks for the marker.
"""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial

import psycopg
from django.conf import settings
from django.core.signing import Signer
from django.db import transaction
from django.utils.crypto import constant_time_compare
from psycopg import Connection

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import acting_by_command, operator, record
from backups_portal.lib import pgsession
from backups_portal.lib.db_time import database_now
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.leased_job import Heartbeat, LeasedJob, back_off
from backups_portal.lib.leases import LeaseLostError, LeaseQuerySet
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.files import WAITING, delete_files, put_file, read_start
from backups_portal.projects.access import RightLostError
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.models import CsvRequest

log = get_logger(__name__)

# The path of these requests, which read no file of the project.
NO_FILE = ""
RETRY_MINUTES = (1, 5, 60)
SEAL = "seal"
# Several times the longest marker.
MAX_MARKER_BYTES = 10_000


@contextmanager
def import_under_way(project: Project) -> Iterator[CsvRequest]:
    """Keep a leased row of an import until its line is written or it failed."""
    ticket = uuid.uuid4()
    row = CsvRequest.objects.create(
        project=project,
        work=CsvRequest.Work.IMPORT,
        path=NO_FILE,
        state=CsvRequest.State.RUNNING,
        lease=ticket,
        lease_until=database_now() + settings.LEASE,
    )
    rows = CsvRequest.objects.filter(pk=row.pk, lease=ticket)
    renew = partial(CsvRequest.objects.renew, row.pk, ticket, lease=settings.LEASE)
    try:
        with Heartbeat(renew, f"import {row.pk}"):
            yield row
    except (TransferRefusedError, RightLostError):
        rows.delete()
        raise
    finally:
        # After any other error, the rows may have been committed: a worker finds out.
        rows.update(lease=None, lease_until=database_now())


def store_marker(
    connection: Connection, row: CsvRequest, actor: Account, *, subject: str, counts: JsonObject
) -> None:
    """Store what the line will say, in the transaction of the rows."""
    line = {"account": actor.pk, "operator": operator(), "subject": subject, "counts": counts}
    put_marker(connection, row.pk, line)


def write_line(row: CsvRequest, actor: Account | None, *, subject: str, counts: JsonObject) -> None:
    """Write the line and delete the row in one transaction.

    Raises:
        LeaseLostError: a worker has taken over, because the import seemed lost.
    """
    if not CsvRequest.objects.filter(pk=row.pk, lease=row.lease).delete()[0]:
        raise LeaseLostError(str(row.pk))
    record(
        action="data.imported", actor=actor, project=row.project, subject=subject, details=counts
    )


def remove_marker(connection: Connection, row: CsvRequest) -> None:
    """Delete the marker once the line is written; a failure harms nothing."""
    try:
        delete_files(connection, [marker_path(row.pk)])
    except psycopg.Error as error:
        # The next upload deletes it after a day; see upload_parts.py.
        log.warning("could not delete an import's marker", project=row.project_id, error=error)


def marker_path(pk: uuid.UUID) -> str:
    """Return the path of the file that an import stores with its rows."""
    # Earlier versions named it by the 24 digits of a job id.
    return f"{WAITING}jobs/{pk.hex[-24:]}"


def put_marker(connection: Connection, pk: uuid.UUID, line: JsonObject) -> None:
    """Store a marker, sealed: SQL of the project's owner can replace it."""
    sealed = {**line, SEAL: _seal(pk, line)}
    put_file(connection, path=marker_path(pk), content=json.dumps(sealed).encode())


def read_marker(connection: Connection, pk: uuid.UUID) -> JsonObject | None:
    """Return what `put_marker` stored; None without it, {} if replaced."""
    content = read_start(connection, marker_path(pk), MAX_MARKER_BYTES)
    if content is None:
        return None
    try:
        line = dict(json.loads(content))
        seal = str(line.pop(SEAL, ""))
        return line if constant_time_compare(seal, _seal(pk, line)) else {}
    except (TypeError, ValueError, RecursionError):
        return {}


def _seal(pk: uuid.UUID, line: JsonObject) -> str:
    return Signer(salt="import marker").signature(f"{pk} {json.dumps(line, sort_keys=True)}")


class ImportLineJob(LeasedJob[CsvRequest]):
    """An attempt to write the line of an import whose process has died."""

    name = "import_line"
    shown_errors = (psycopg.Error,)

    def rows(self) -> LeaseQuerySet:
        return CsvRequest.objects.select_related("project__server")

    def work(self) -> None:
        row = self.row
        if row.project.state == Project.State.REMOVED:
            self.finish()
            return
        dsn = project_dsn(row.project)
        with pgsession.connect(dsn, autocommit=True, settings=pgsession.PAGE) as connection:
            line = read_marker(connection, row.pk)
            if line is None:
                # Nothing was stored, so there is nothing to record.
                self.finish()
                return
            # If somebody replaced the marker, the line says only that something was imported.
            actor = Account.objects.filter(pk=line.get("account", 0)).first()
            with transaction.atomic(), acting_by_command(line.get("operator", "")):
                write_line(
                    row, actor, subject=line.get("subject", ""), counts=line.get("counts", {})
                )
            remove_marker(connection, row)

    def retry_at(self, error: Exception) -> datetime | None:
        return back_off(RETRY_MINUTES, self.row.attempts - 1, database_now())

    def postpone(self, then: datetime, **fields: object) -> None:
        super().postpone(then, reason=fields["reason"])

    def give_up(self, error: Exception, **fields: object) -> None:
        log.error("it is unknown what a lost import has stored", project=self.row.project_id)
        self.finish()

    def finish(self, **fields: object) -> None:
        self.rows().filter(pk=self.pk, lease=self.ticket).delete()
