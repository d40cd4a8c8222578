"""Send a message over its channel: an e-mail, a webhook or a heartbeat."""

from collections.abc import Callable

from backups_portal.notifications.email_message import send_email
from backups_portal.notifications.errors import UnwantedError
from backups_portal.notifications.models import Delivery, Kind, NotificationSettings
from backups_portal.notifications.webhook_request import ping_heartbeat, post_webhook

SENDERS: dict[Delivery.Channel, Callable[[Delivery, NotificationSettings], None]] = {
    Delivery.Channel.EMAIL: send_email,
    Delivery.Channel.WEBHOOK: post_webhook,
    Delivery.Channel.HEARTBEAT: ping_heartbeat,
}


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
