"""A thread that keeps a lease while work goes on, and stores how far it has come."""

import logging
import threading
import uuid
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from django.db import DatabaseError, connection

from backups_portal.lib.leases import LeaseLostError, LeaseQuerySet

log = logging.getLogger(__name__)

# Progress is stored this often, in seconds; a page polls it about as often.
INTERVAL = 1.0


class Heartbeat:
    """Renews the lease of a row once a second, from a thread with a connection of its own.

    The working threads call `report`, which touches no database: it only remembers what the next
    beat stores, and raises when the lease has gone to somebody else.
    """

    def __init__(
        self, rows: LeaseQuerySet, pk: uuid.UUID, ticket: uuid.UUID, *, lease: timedelta
    ) -> None:
        self._rows, self._pk, self._ticket, self._lease = rows, pk, ticket, lease
        self._fields: dict[str, Any] = {}
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {pk}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def report(self, **fields: Any) -> None:
        """Remember fields of the row for the next beat.

        Raises:
            LeaseLostError: another worker has taken the row; stop working.
        """
        self._fields.update(fields)
        self.check()

    def check(self) -> None:
        """Raises LeaseLostError where another worker has taken the row."""
        if self._lost:
            raise LeaseLostError(str(self._pk))

    def renew(self) -> None:
        """Renew the lease now, from this thread, before something that only its holder may do.

        Raises:
            LeaseLostError: another worker has taken the row; stop working.
            DatabaseError: the control database does not answer.
        """
        self._rows.renew(self._pk, self._ticket, lease=self._lease)

    def _beat(self) -> None:
        try:
            while not self._stop.wait(INTERVAL):
                self._renew()
        except LeaseLostError:
            self._lost = True
        finally:
            connection.close()

    def _renew(self) -> None:
        try:
            self._rows.renew(self._pk, self._ticket, lease=self._lease, **self._fields)
        except DatabaseError:
            # The control database may be restarting: the lease outlasts a few missed beats.
            log.warning("could not renew the lease of %s", self._pk, exc_info=True)
            connection.close()
