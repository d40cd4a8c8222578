"""One attempt to send a delivery over its channel, and its outcome."""

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from backups_portal.lib.circuit_breaker import FORGOTTEN_AFTER, PAUSE, SilentError
from backups_portal.lib.db_time import database_now
from backups_portal.lib.leased_job import LeasedJob, Ran, back_off
from backups_portal.lib.leases import LeaseQuerySet
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications.email_message import send_email
from backups_portal.notifications.errors import UndeliveredError, UnwantedError
from backups_portal.notifications.models import Delivery, Kind, NotificationSettings
from backups_portal.notifications.webhook_request import ping_heartbeat, post_webhook

log = get_logger(__name__)

State = Delivery.State
KEPT = timedelta(days=30)
AT_A_TIME = 1_000
TOO_LONG = "It took too long."
# A message that kills its worker each time, perhaps after it was sent, must not be retried without
# end.
MAX_ATTEMPTS = 10
INTERRUPTED = f"Sending it was interrupted {MAX_ATTEMPTS} times. It may have arrived."
UNEXPECTED = "Something went wrong on our side. The operators' log has the details."

SENDERS: dict[Delivery.Channel, Callable[[Delivery, NotificationSettings], None]] = {
    Delivery.Channel.EMAIL: send_email,
    Delivery.Channel.WEBHOOK: post_webhook,
    Delivery.Channel.HEARTBEAT: ping_heartbeat,
}


def deliver(delivery_id: UUID) -> Ran:
    """Send a queued delivery; see `LeasedJob.run`.

    One whose worker died midway is sent again, with the same id.
    """
    return DeliveryJob(delivery_id).run()


class DeliveryJob(LeasedJob[Delivery]):
    """One attempt at a delivery."""

    name = "delivery"
    shown_errors = (UndeliveredError,)
    unexpected = UNEXPECTED
    interrupted = INTERRUPTED

    def facts(self) -> dict[str, object]:
        return {**super().facts(), "project": self.row.project_id}

    def rows(self) -> LeaseQuerySet:
        return Delivery.objects.select_related("project", "account")

    def claim(self) -> UUID | None:
        waiting = Delivery.objects.without_early(database_now())
        return waiting.claim(self.pk, lease=settings.LEASE)

    def begin(self) -> None:
        self.max_attempts = len(settings.NOTIFICATION_RETRY_MINUTES) + MAX_ATTEMPTS
        super().begin()

    def work(self) -> None:
        try:
            send(self.row)
        except UnwantedError as error:
            self._end(State.DROPPED, str(error))
        except SilentError as error:
            self._wait(error)
        else:
            self._end(State.SENT, "")

    def _wait(self, error: SilentError) -> None:
        """Wait for a server without counting an attempt.

        The limit is the time that all retries would take, but at least until the server's pause is
        over.
        """
        attempts = timedelta(minutes=sum(settings.NOTIFICATION_RETRY_MINUTES))
        waits = max(attempts, FORGOTTEN_AFTER)
        now = database_now()
        if now > self.row.created_at + waits:
            raise UndeliveredError(str(error)) from error
        then = now + PAUSE
        self.postpone(then, reason=str(error), attempts=self.row.attempts - 1)
        log.info("notification waits for its server", delivery=self.pk, at=then)

    def retry_at(self, error: Exception) -> datetime | None:
        now, tries = database_now(), self.row.attempts - 1
        then = back_off(settings.NOTIFICATION_RETRY_MINUTES, tries, now)
        asked = error.retry_at if isinstance(error, UndeliveredError) else None
        if then is None or asked is None:
            return then
        # A receiver may delay the retry, but not beyond the time of all remaining retries.
        left = timedelta(minutes=sum(settings.NOTIFICATION_RETRY_MINUTES[tries:]))
        return min(max(then, asked), now + left)

    def too_long(self) -> str:
        return TOO_LONG

    def explain(self, error: Exception) -> dict[str, object]:
        return {"reason": super().explain(error)["reason"]}

    def give_up(self, error: Exception, **fields: object) -> None:
        self._end(State.FAILED, self.failure)

    def postpone(self, then: datetime, **fields: object) -> None:
        super().postpone(then, retry_at=then, **fields)

    def _end(self, state: str, reason: str) -> None:
        self.finish(state=state, reason=reason)
        log.info("notification ended: %s", reason, delivery=self.pk, state=state)


def send(delivery: Delivery) -> None:
    """Send a message over its channel.

    Raises:
        UndeliveredError: it did not arrive.
        SilentError: it was not sent, because its server recently did not answer.
        UnwantedError: it is no longer wanted.
    """
    found = NotificationSettings.objects.filter(pk=delivery.project_id).first()
    chosen = found or NotificationSettings(project=delivery.project)
    _check_wanted(delivery, chosen)
    SENDERS[Delivery.Channel(delivery.channel)](delivery, chosen)


def _check_wanted(delivery: Delivery, chosen: NotificationSettings) -> None:
    """Raise UnwantedError if owners turned it off after it was made."""
    if delivery.kind in chosen.muted:
        raise UnwantedError(f"“{delivery.get_kind_display()}” was turned off.")
    is_letter = delivery.channel == Delivery.Channel.EMAIL and delivery.kind != Kind.DIGEST
    if is_letter and not chosen.by_email:
        raise UnwantedError("E-mail was turned off.")


def send_again(now: datetime) -> list[UUID]:
    """Return the deliveries that the caller must enqueue again."""
    waiting = Delivery.objects.unfinished().order_by("created_at")
    return waiting.send_again(now, limit=AT_A_TIME)


def forget_deliveries(now: datetime) -> int:
    """Delete deliveries that are older than KEPT; return their number."""
    old = Delivery.objects.filter(created_at__lt=now - KEPT).order_by("created_at")
    gone = 0
    while ids := list(old.values_list("pk", flat=True)[:AT_A_TIME]):
        gone += Delivery.objects.filter(pk__in=ids).delete()[0]
    return gone
