"""The three ways out: an e-mail, a signed webhook, and the ping of a heartbeat."""

import json
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.accounts.password_reset import can_send
from backups_portal.lib import safe_http
from backups_portal.lib.circuit_breaker import SilentError, unless_silent
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications.digest_link import address_to_turn_off
from backups_portal.notifications.errors import UndeliveredError, UnwantedError
from backups_portal.notifications.models import Delivery, Kind, NotificationSettings
from backups_portal.notifications.retry_after import parse_retry_after
from backups_portal.notifications.sealed_addresses import heartbeat_url, webhook_secret, webhook_url
from backups_portal.notifications.webhook_signature import message_id, signed_headers
from backups_portal.projects.models import Membership, Project

log = get_logger(__name__)

# A receiver that does its work before it answers has time for it, and no worker waits for long.
SECONDS = 10.0
AGENT = "BackupsPortal"
# A limit that all projects share would be used up by one of them: each waits longer and longer
# instead, and a thousand webhooks that hang keep twenty workers at most, not a hundred and sixty.
LONGEST_PAUSE = timedelta(minutes=8)
# The statuses of a receiver that may say when it wants to be asked again.
BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


def send(delivery: Delivery) -> None:
    """Send a message over its channel.

    Raises:
        UndeliveredError: it did not arrive.
        SilentError: it was not sent, as its server did not answer a short while ago.
        UnwantedError: nobody is there for it any more.
    """
    _check_wanted(delivery)
    SENDERS[Delivery.Channel(delivery.channel)](delivery)


def _check_wanted(delivery: Delivery) -> None:
    """Raise UnwantedError for what owners turned off since it was made."""
    wishes = _wishes(delivery)
    if delivery.kind in wishes.muted:
        raise UnwantedError(f"“{delivery.get_kind_display()}” was turned off.")
    is_letter = delivery.channel == Delivery.Channel.EMAIL and delivery.kind != Kind.DIGEST
    if is_letter and not wishes.by_email:
        raise UnwantedError("E-mail was turned off.")


def _send_email(delivery: Delivery) -> None:
    account, project = delivery.account, delivery.project
    owners = Membership.objects.filter(role=Membership.Role.OWNER, account__is_active=True)
    if account is None or not owners.filter(project=project, account=account).exists():
        raise UnwantedError("The account no longer owns this project.")
    if not can_send():
        raise UnwantedError("This portal no longer sends e-mail.")
    message = _email_of(delivery, account)
    try:
        message.send()
    except SilentError:
        raise
    except OSError as error:
        # smtplib's errors are OSErrors; what they say may name the server, and is for the log.
        log.warning("the mail server took no message", delivery=delivery.pk, exc_info=True)
        raise UndeliveredError("The mail server refused it.") from error


def _email_of(delivery: Delivery, account: Account) -> EmailMessage:
    """Write the e-mail of a delivery."""
    said, project = delivery.message["data"], delivery.project
    choose = f"{settings.PORTAL_URL}{reverse('notifications', args=[project.slug])}"
    context = {**said, "choose": choose, "turn_off": ""}
    headers = {
        # The same at every try, so that a mailbox shows once what was sent twice.
        "Message-ID": f"<{delivery.pk}@{settings.HOST}>",
        "Auto-Submitted": "auto-generated",
    }
    if delivery.kind == Kind.DIGEST:
        _check_digest(delivery)
        context["turn_off"] = f"{settings.PORTAL_URL}{address_to_turn_off(project, account)}"
        headers["List-Unsubscribe"] = f"<{context['turn_off']}>"
        # RFC 8058: a mailbox may send the form of that page itself.
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message = EmailMultiAlternatives(
        f"{said['title']}: {said['project']['name']}",
        render_to_string("notifications/message.txt", context),
        to=[account.email],
        headers=headers,
    )
    if delivery.kind == Kind.DIGEST:
        page = render_to_string("notifications/digest.html", context)
        message.attach_alternative(page, "text/html")
    return message


def _check_digest(delivery: Delivery) -> None:
    """Raise UnwantedError for a digest that came too late to be wanted."""
    if delivery.project.state != Project.State.ACTIVE:
        raise UnwantedError("The project was shut down.")
    if _wishes(delivery).next_digest_at is None:
        raise UnwantedError("The weekly digest was turned off.")


def _post_webhook(delivery: Delivery) -> None:
    wishes = _wishes(delivery)
    url = webhook_url(wishes)
    if not url:
        raise UnwantedError("The webhook was removed.")
    content = json.dumps(delivery.message, ensure_ascii=False, separators=(",", ":"))
    signed = signed_headers(
        webhook_secret(wishes), message_id(delivery.pk), content, timezone.now()
    )
    _ask(delivery, "POST", url, {"Content-Type": "application/json", **signed}, content.encode())


def _ping_heartbeat(delivery: Delivery) -> None:
    url = heartbeat_url(_wishes(delivery))
    if not url:
        raise UnwantedError("The heartbeat was removed.")
    _ask(delivery, "GET", url, {}, b"")


def _ask(
    delivery: Delivery, method: str, url: str, headers: dict[str, str], content: bytes
) -> None:
    try:
        host = safe_http.host_of(url)
        # A webhook that hangs must not stop another owner's on the same host.
        purpose = f"{delivery.channel}:{delivery.project_id}"
        with unless_silent(purpose, host, longest=LONGEST_PAUSE):
            answer = safe_http.send(
                method,
                url,
                headers={"User-Agent": AGENT, **headers},
                content=content,
                seconds=SECONDS,
                to_private=settings.WEBHOOK_PRIVATE_ADDRESSES,
            )
    except safe_http.OutgoingError as error:
        raise UndeliveredError(str(error)) from error
    log.info("asked", delivery=delivery.pk, host=host, status=answer.status)
    _check_taken(answer)


def _check_taken(answer: safe_http.Answer) -> None:
    status = answer.status
    if 300 <= status < 400:
        raise UndeliveredError(f"It answered {status}: redirects are not followed.")
    if not 200 <= status < 300:
        then = parse_retry_after(answer.retry_after, timezone.now()) if status in BUSY else None
        raise UndeliveredError(f"It answered {status}.", retry_at=then)


def _wishes(delivery: Delivery) -> NotificationSettings:
    found = NotificationSettings.objects.filter(pk=delivery.project_id).first()
    return found or NotificationSettings(project=delivery.project)


SENDERS: dict[Delivery.Channel, Callable[[Delivery], None]] = {
    Delivery.Channel.EMAIL: _send_email,
    Delivery.Channel.WEBHOOK: _post_webhook,
    Delivery.Channel.HEARTBEAT: _ping_heartbeat,
}
