"""Write and send the e-mail of a delivery."""

from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from backups_portal.accounts.models import Account
from backups_portal.accounts.password_reset import can_send
from backups_portal.lib.circuit_breaker import SilentError
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.mail_backend import NOT_ACCEPTED
from backups_portal.notifications.digest_link import address_to_turn_off
from backups_portal.notifications.errors import UndeliveredError, UnwantedError
from backups_portal.notifications.models import Delivery, Kind, NotificationSettings
from backups_portal.projects.models import Membership, Project

log = get_logger(__name__)


def send_email(delivery: Delivery, chosen: NotificationSettings) -> None:
    """Send the e-mail of a delivery; raises as `delivery.send` does."""
    account, project = delivery.account, delivery.project
    owners = Membership.objects.filter(role=Membership.Role.OWNER, account__is_active=True)
    if account is None or not owners.filter(project=project, account=account).exists():
        raise UnwantedError("The account no longer owns this project, or is closed.")
    if not can_send():
        raise UnwantedError("This portal no longer sends e-mail.")
    if delivery.kind == Kind.DIGEST:
        _check_digest(delivery, chosen)
    message = _email_of(delivery, account)
    try:
        message.send()
    except SilentError:
        raise
    except OSError as error:
        # smtplib's errors are OSErrors; their texts may name the server, so they are only logged.
        log.warning(NOT_ACCEPTED, delivery=delivery.pk, exc_info=True)
        raise UndeliveredError("The mail server refused it.") from error


def _email_of(delivery: Delivery, account: Account) -> EmailMessage:
    """Write the e-mail of a delivery."""
    data, project = delivery.message["data"], delivery.project
    choose = f"{settings.PORTAL_URL}{reverse('notifications', args=[project.slug])}"
    context = {**data, "choose": choose, "turn_off": ""}
    headers = {
        # The same in every attempt, so that a mailbox shows a repeated message once.
        "Message-ID": f"<{delivery.pk}@{settings.HOST}>",
        "Auto-Submitted": "auto-generated",
    }
    if delivery.kind == Kind.DIGEST:
        context["turn_off"] = f"{settings.PORTAL_URL}{address_to_turn_off(project, account)}"
        headers["List-Unsubscribe"] = f"<{context['turn_off']}>"
        # RFC 8058: a mail program may post that page's form itself.
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message = EmailMultiAlternatives(
        f"{data['title']}: {data['project']['name']}",
        render_to_string("notifications/message.txt", context),
        to=[account.email],
        headers=headers,
    )
    if delivery.kind == Kind.DIGEST:
        page = render_to_string("notifications/digest.html", context)
        message.attach_alternative(page, "text/html")
    return message


def _check_digest(delivery: Delivery, chosen: NotificationSettings) -> None:
    """Raise UnwantedError for a digest that is no longer wanted."""
    if delivery.project.state != Project.State.ACTIVE:
        raise UnwantedError("The project was shut down.")
    if chosen.next_digest_at is None:
        raise UnwantedError("The weekly digest was turned off.")
