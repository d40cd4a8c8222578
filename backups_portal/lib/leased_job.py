"""Jobs under a lease: claimed, kept by a heartbeat, retried, or given up.

A worker may be killed at any moment, and a message may arrive twice, late or never. What counts is
the row: only the worker whose ticket it carries may go on, publish and say how it ended.
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
from django.utils import timezone
from redis.exceptions import RedisError
from structlog.contextvars import bound_contextvars

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.leases import QUEUED, Leased, LeaseLostError, LeaseQuerySet
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import redis_client

log = get_logger(__name__)

# Progress is stored this often, in seconds; a page polls it about as often.
BEAT_SECONDS = 1.0
# The control database is away: nothing can be stored, and the lease runs out by itself.
CONTROL_DATABASE_AWAY = (OperationalError, InterfaceError)
RowT = TypeVar("RowT", bound=Leased)


class GivenUpError(Exception):
    """No further attempt can help; the message is fit for an owner.

    Attributes:
        cause: The same for programs.
    """

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


class JobFailedError(Exception):
    """The work of a task failed, as its row and the log say; for Celery, which logs it as well.

    A task names it in `throws`, so that it is no error of the task's own.
    """


@dataclass(frozen=True)
class Ran:
    """What became of a run.

    Attributes:
        is_claimed: Whether the row was there to be worked on, however that ended.
        failure: Why this attempt failed; "" if it did not.
    """

    is_claimed: bool
    failure: str = ""

    def tell_celery(self) -> None:
        """End a task so that Celery does not call failed work “succeeded”.

        Raises:
            JobFailedError: this attempt failed.
        """
        if self.failure:
            raise JobFailedError(self.failure)


class Heartbeat:
    """Renews a lease once a second, from a thread of its own.

    The thread has a database connection of its own. The working threads call `report`, which
    touches no database: it remembers what the next beat stores, and raises if the lease has gone
    to another worker.

    Attributes:
        fields: What was reported last, which no beat may have stored yet.
    """

    def __init__(self, renew: Callable[..., None], whose: str) -> None:
        self.fields: dict[str, object] = {}
        self._store, self._whose = renew, whose
        self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {whose}", daemon=True)

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
            raise LeaseLostError(self._whose)

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
            log.warning("could not renew the lease of %s", self._whose, exc_info=True)
            connection.close()


class LeasedJob(Generic[RowT]):
    """One attempt at the work of a row; a subclass says what the work is.

    Attributes:
        name: What the log calls it.
        step: What is being done.
        told: Errors whose text is fit for an owner, with their cause.
        unexpected: What an owner is told of any other error.
        max_attempts: After so many attempts that ended without a word it is given up; None: never.
        interrupted: What an owner is told then.
    """

    name = "job"
    told: tuple[type[Exception], ...] = ()
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

        Nothing happens if the row is done, has to wait, or is another worker's. `run` may be called
        twice, also at the same time: the lease lets one worker go on.

        Raises:
            django.db.OperationalError, django.db.InterfaceError: the control database went away;
                the lease runs out, and the tick sends the row again.
            Exception: an error that is not in `told`, after the row says that it failed.
        """
        ticket = self.claim()
        row = self.rows().filter(pk=self.pk).first() if ticket else None
        if ticket is None or row is None:
            log.info(f"{self.name} is done, waits, or is another worker's", **{self.name: self.pk})
            return Ran(is_claimed=False)
        self.ticket, self.row = ticket, row
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

    # What a subclass says.

    def facts(self) -> dict[str, object]:
        """Return what every line of the log says of the job, such as its ids."""
        return {self.name: self.pk}

    def rows(self) -> LeaseQuerySet:
        """Return the rows of such jobs, with what the work reads of them."""
        raise NotImplementedError

    def work(self) -> None:
        """Do the work, and end it with `finish`."""
        raise NotImplementedError

    def claim(self) -> uuid.UUID | None:
        """Take the row; returns the ticket, or None if there is nothing to take."""
        return self.rows().claim(self.pk, lease=settings.LEASE)

    def begin(self) -> None:
        """Refuse work that no attempt can do.

        Raises:
            GivenUpError: workers were lost at it again and again.
        """
        if self.max_attempts is not None and self.silent_attempts() > self.max_attempts:
            raise GivenUpError(self.interrupted, cause=Cause.INTERRUPTED)

    def silent_attempts(self) -> int:
        """Count the attempts, with this one, whose end the row does not tell."""
        return self.row.attempts

    def retry_at(self, error: Exception) -> datetime | None:
        """Return when to try again after an error; None if the failure is final."""
        return None

    def too_long(self) -> str:
        """Return what an owner is told if the task reached its time limit."""
        return self.unexpected

    def explain(self, error: Exception) -> dict[str, object]:
        """Return the fields that say why it failed: to people, and to programs."""
        if isinstance(error, SoftTimeLimitExceeded):
            return {"reason": self.too_long(), "cause": Cause.TIME_LIMIT}
        if isinstance(error, (GivenUpError, *self.told)):
            return {"reason": str(error), "cause": getattr(error, "cause", Cause.UNEXPECTED)}
        return {"reason": self.unexpected, "cause": Cause.UNEXPECTED}

    def clean_up(self) -> dict[str, object]:
        """Remove what a failed attempt made; return fields that say so."""
        return {}

    def abandon(self) -> None:
        """Remove what this attempt made, after another worker has taken the row."""

    def give_up(self, error: Exception, **fields: object) -> None:
        """Store a failure that is final, in an open transaction."""
        self.finish(state="failed", **fields)

    def postpone(self, then: datetime, **fields: object) -> None:
        """Queue the row for later, in an open transaction; the tick finds it then."""
        self.store(state=QUEUED, lease=None, lease_until=then, **fields)

    # What a subclass calls.

    def reach(self, step: str) -> None:
        """Say which step is next, once: the log tells where a worker was lost."""
        if step != self.step:
            self.step = step
            log.info(self.name, step=step)

    def renew(self, **fields: object) -> None:
        """Renew the lease now, before something that only its holder may do.

        In a transaction it keeps the row from other workers until that ends.

        Raises:
            LeaseLostError: another worker has taken the row.
        """
        self.rows().renew(self.pk, self.ticket, lease=settings.LEASE, **fields)

    def store(self, **fields: object) -> None:
        """Change the row; raises LeaseLostError if another worker has taken it."""
        self.rows().store(self.pk, self.ticket, **fields)

    def finish(self, **fields: object) -> None:
        """Store how the work ended, and let go of the row.

        Raises:
            LeaseLostError: another worker has taken the row.
        """
        free = {"lease": None, "lease_until": None, "finished_at": timezone.now()}
        self.store(**{**free, **self.heartbeat.fields, **fields})

    def _work(self) -> None:
        try:
            self.begin()
            self.work()
        except (LeaseLostError, *CONTROL_DATABASE_AWAY):
            raise
        except (GivenUpError, SoftTimeLimitExceeded, *self.told) as error:
            self._fail(error, log.warning, f"{self.name} failed")
        except Exception as error:
            self._fail(error, log.error, f"{self.name} failed unexpectedly")
            raise

    def _fail(self, error: Exception, tell: Callable[..., object], what: str) -> None:
        then = None if isinstance(error, GivenUpError) else self.retry_at(error)
        why = self.explain(error)
        self.failure = str(why["reason"])
        # The server may be known only now.
        tell(what, **{**self.facts(), "step": self.step, **why}, exc_info=error)
        # What is cleaned up may have another attempt's name: only the holder of the lease does it.
        fields = {**why, **self.clean_up()}
        with transaction.atomic():
            if then is None:
                self.give_up(error, **fields)
            else:
                self.postpone(then, **fields)
                log.info(f"{self.name} is tried again", at=then)


def back_off(minutes: Sequence[int], tries: int, now: datetime) -> datetime | None:
    """Return when to try again; None after the last of the waits.

    Args:
        minutes: How long to wait before each further try.
        tries: How many further tries there were.
    """
    return now + timedelta(minutes=minutes[tries]) if tries < len(minutes) else None


@contextmanager
def may_wait(what: str) -> Iterator[None]:
    """Send queued rows, or leave them to the next tick if the broker is away."""
    try:
        yield
    except BrokerError:
        log.warning("broker is away, to be sent later: %s", what, exc_info=True)


def check_broker() -> None:
    """Make sure that Redis answers now: a page does not wait as long as a message may.

    Raises:
        BrokerError: it does not.
    """
    try:
        redis_client().ping()
    except RedisError as error:
        raise BrokerError(str(error)) from error


def send_on_commit(task: Task, pk: uuid.UUID) -> None:
    """Send a queued row to the workers once it is committed; see `may_wait`."""

    def send() -> None:
        with may_wait(f"{task.name} {pk}"):
            check_broker()
            task.delay(str(pk))

    transaction.on_commit(send)
