"""Jobs under a lease: claimed, kept by a heartbeat, retried, or given up.

A worker may be killed at any moment, and a message may arrive twice, late or never. The row
decides: only the worker whose ticket it carries may continue, publish and store the outcome.
"""

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Self, TypeVar

from celery import Task
from celery.exceptions import OperationalError as BrokerError
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from backups_portal.lib.db_time import database_now
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.leases import (
    QUEUED,
    Leased,
    LeaseLostError,
    LeaseQuerySet,
    message_counts_for,
)
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import redis_client

log = get_logger(__name__)

# Seconds between stores of progress; a page polls about as often.
BEAT_SECONDS = 1.0
# The control database is down: nothing can be stored, and the lease expires by itself.
CONTROL_DATABASE_AWAY = (OperationalError, InterfaceError)
# The reason shown while a row is left to workers of a newer version.
NEWER = (
    "A newer version of Backups Portal requested this. It waits for a worker of that version: "
    "tell your operator if it does not start soon."
)
# Fields with choices that say what has happened, not what was requested.
NOT_REQUESTED = ("state", "step")
RowT = TypeVar("RowT", bound=Leased)


class GivenUpError(Exception):
    """No further attempt can help; the message is fit for an owner.

    Attributes:
        cause: The reason for programs.
    """

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class JobFailedError(Exception):
    """The work of a task failed; marks the task as failed in Celery.

    The row and the log have the reason already, so tasks list it in `throws`: Celery then logs it
    as expected, without a traceback.
    """


@dataclass(frozen=True)
class Ran:
    """The outcome of a run.

    Attributes:
        is_claimed: Whether this run claimed the row, however it ended.
        failure: Why this attempt failed; "" if it did not.
    """

    is_claimed: bool
    failure: str = ""

    def tell_celery(self) -> None:
        """Raise if the work failed, so that Celery does not log “succeeded”.

        Raises:
            JobFailedError: this attempt failed.
        """
        if self.failure:
            raise JobFailedError(self.failure)


class Heartbeat:
    """Renews a lease once a second, in a thread with its own database connection.

    The working threads call `report`, which touches no database: it remembers fields for the next
    beat to store, and raises if another worker has taken the lease.

    Attributes:
        fields: The fields reported so far, some of which may not be stored yet.
    """

    def __init__(self, renew: Callable[..., None], job: str) -> None:
        self.fields: dict[str, object] = {}
        self._store, self._job = renew, job
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {job}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def report(self, **fields: object) -> None:
        """Remember fields of the row for the next beat.

        Raises:
            LeaseLostError: another worker has taken the row.
        """
        self.fields.update(fields)
        self.check()

    def check(self) -> None:
        """Raise LeaseLostError if another worker has taken the row."""
        if self._lost:
            raise LeaseLostError(self._job)

    def _beat(self) -> None:
        try:
            while not self._stop.wait(BEAT_SECONDS):
                self._renew()
        except LeaseLostError:
            self._lost = True
        finally:
            connection.close()

    def _renew(self) -> None:
        try:
            self._store(**self.fields)
        except DatabaseError:
            # The control database may be restarting: the lease outlasts a few missed beats.
            log.warning("could not renew the lease of %s", self._job, exc_info=True)
            connection.close()


class LeasedJob(Generic[RowT]):
    """One attempt at the work of a row; subclasses define the work.

    Attributes:
        name: The job's name in the log.
        step: The current step.
        shown_errors: Errors whose text owners may read; their `cause` is stored, too.
        unexpected: The reason that owners read for any other error.
        max_attempts: Give up after this many attempts that stored no outcome; None: never.
        interrupted: The reason that owners read then.
    """

    name = "job"
    shown_errors: tuple[type[Exception], ...] = ()
    unexpected = ""
    max_attempts: int | None = None
    interrupted = ""

    row: RowT
    ticket: uuid.UUID
    heartbeat: Heartbeat

    def __init__(self, pk: uuid.UUID) -> None:
        self.pk = pk
        self.step = self.failure = ""

    def run(self) -> Ran:
        """Claim the row and do its work.

        Nothing happens if the row is done, has to wait, is leased to another worker, or requests
        something that only a newer version knows. `run` may be called twice, even concurrently:
        the lease lets one worker continue.

        Raises:
            django.db.OperationalError, django.db.InterfaceError: the control database went down;
                the lease expires, and the tick sends the row again.
            Exception: an error that is not in `shown_errors`, after the failure was stored.
        """
        ticket = self.claim()
        row = self.rows().filter(pk=self.pk).first() if ticket else None
        if ticket is None or row is None:
            log.info(f"{self.name} is done, waits, or is another worker's", **{self.name: self.pk})
            return Ran(is_claimed=False)
        self.ticket, self.row = ticket, row
        if not self.is_known():
            self._leave()
            return Ran(is_claimed=False)
        with bound_contextvars(**self.facts()):
            self._run()
        return Ran(is_claimed=True, failure=self.failure)

    def _run(self) -> None:
        log.info(f"{self.name} begins", attempt=self.row.attempts)
        with Heartbeat(self.renew, f"{self.name} {self.pk}") as self.heartbeat:
            try:
                self._work()
            except LeaseLostError:
                log.warning("lease lost, stopped")
                self.abandon()

    # Defined by subclasses.

    def facts(self) -> dict[str, object]:
        """Return the fields of the job's log lines, such as its ids."""
        return {self.name: self.pk}

    def rows(self) -> LeaseQuerySet:
        """Return the rows of this kind of job, with the relations the work reads."""
        raise NotImplementedError

    def work(self) -> None:
        """Do the work, and end it with `finish`."""
        raise NotImplementedError

    def is_known(self) -> bool:
        """Tell whether this version knows everything that the row requests."""
        chosen = [field for field in self.row._meta.concrete_fields if field.choices]
        return all(
            getattr(self.row, field.attname) in dict(field.choices or ())
            for field in chosen
            if field.attname not in NOT_REQUESTED
        )

    def claim(self) -> uuid.UUID | None:
        """Claim the row; return the ticket, or None if it cannot be claimed."""
        return self.rows().claim(self.pk, lease=settings.LEASE)

    def begin(self) -> None:
        """Give up if too many attempts ended without an outcome.

        Raises:
            GivenUpError: it lost its worker again and again.
        """
        if self.max_attempts is not None and self.silent_attempts() > self.max_attempts:
            raise GivenUpError(self.interrupted, cause=Cause.INTERRUPTED)

    def silent_attempts(self) -> int:
        """Count the attempts without a stored outcome, including this one."""
        return self.row.attempts

    def retry_at(self, error: Exception) -> datetime | None:
        """Return when to try again after an error; None if the failure is final."""
        return None

    def too_long(self) -> str:
        """Return the reason that owners read if the task hit its time limit."""
        return self.unexpected

    def explain(self, error: Exception) -> dict[str, object]:
        """Return the reason, for people, and the cause, for programs."""
        if isinstance(error, SoftTimeLimitExceeded):
            return {"reason": self.too_long(), "cause": Cause.TIME_LIMIT}
        if isinstance(error, (GivenUpError, *self.shown_errors)):
            return {"reason": str(error), "cause": getattr(error, "cause", Cause.UNEXPECTED)}
        return {"reason": self.unexpected, "cause": Cause.UNEXPECTED}

    def clean_up(self) -> dict[str, object]:
        """Remove what a failed attempt made; return fields to store about it."""
        return {}

    def abandon(self) -> None:
        """Remove what this attempt made; another worker has taken the row."""

    def give_up(self, error: Exception, **fields: object) -> None:
        """Store a final failure, in an open transaction."""
        self.finish(state="failed", **fields)

    def postpone(self, then: datetime, **fields: object) -> None:
        """Queue the row for later, in an open transaction; the tick finds it then."""
        self.store(state=QUEUED, lease=None, lease_until=then, **fields)

    # Called by subclasses.

    def reach(self, step: str) -> None:
        """Log the next step once, to show where a worker was lost."""
        if step != self.step:
            self.step = step
            log.info(self.name, step=step)

    def renew(self, **fields: object) -> None:
        """Renew the lease now, before something that only its holder may do.

        In a transaction, this locks the row against other workers until the end.

        Raises:
            LeaseLostError: another worker has taken the row.
        """
        self.rows().renew(self.pk, self.ticket, lease=settings.LEASE, **fields)

    def store(self, **fields: object) -> None:
        """Change the row; raises LeaseLostError if another worker has taken it."""
        self.rows().store(self.pk, self.ticket, **fields)

    def finish(self, **fields: object) -> None:
        """Store the outcome and release the row.

        Raises:
            LeaseLostError: another worker has taken the row.
        """
        free = {"lease": None, "lease_until": None, "finished_at": timezone.now()}
        self.store(**{**free, **self.heartbeat.fields, **fields})

    def _leave(self) -> None:
        """Leave the row to newer workers; the tick sends it again."""
        log.error(f"{self.name} was requested by a newer version", **{self.name: self.pk})
        self.store(
            state=QUEUED,
            lease=None,
            lease_until=database_now() + message_counts_for(),
            attempts=F("attempts") - 1,
            reason=NEWER,
        )

    def _work(self) -> None:
        try:
            self.begin()
            self.work()
        except (LeaseLostError, *CONTROL_DATABASE_AWAY):
            raise
        except (GivenUpError, SoftTimeLimitExceeded, *self.shown_errors) as error:
            self._fail(error, log.warning, f"{self.name} failed")
        except Exception as error:
            self._fail(error, log.error, f"{self.name} failed unexpectedly")
            raise

    def _fail(self, error: Exception, write: Callable[..., object], event: str) -> None:
        then = None if isinstance(error, GivenUpError) else self.retry_at(error)
        why = self.explain(error)
        self.failure = str(why["reason"])
        # `facts` again: the server may not have been known at the start.
        write(event, **{**self.facts(), "step": self.step, **why}, exc_info=error)
        # Attempts may use the same names, so only the holder of the lease may clean up.
        fields = {**why, **self.clean_up()}
        with transaction.atomic():
            if then is None:
                self.give_up(error, **fields)
            else:
                self.postpone(then, **fields)
                log.info(f"{self.name} will be retried", at=then)


def back_off(minutes: Sequence[int], tries: int, now: datetime) -> datetime | None:
    """Return when to try again; None after the last of the waits.

    Args:
        minutes: The wait before each retry.
        tries: The retries so far.
    """
    return now + timedelta(minutes=minutes[tries]) if tries < len(minutes) else None


@contextmanager
def may_wait(what: str) -> Iterator[None]:
    """Send queued rows, or leave them to the next tick if the broker is down."""
    try:
        yield
    except BrokerError as error:
        log.warning("broker is away, to be sent later: %s", what, error=error)


def check_broker() -> None:
    """Make sure that Redis answers: a page cannot wait as long as sending may.

    Raises:
        BrokerError: Redis does not answer.
    """
    try:
        redis_client().ping()
    except RedisError as error:
        raise BrokerError(str(error)) from error


def send_on_commit(task: Task, pk: uuid.UUID) -> None:
    """Send a queued row to the workers after the commit; see `may_wait`."""

    def send() -> None:
        with may_wait(f"{task.name} {pk}"):
            check_broker()
            task.delay(str(pk))

    transaction.on_commit(send)
