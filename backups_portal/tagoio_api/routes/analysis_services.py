"""Serve the services of analyses: console, and e-mail by a mail server."""

from datetime import UTC, datetime
from smtplib import SMTPException

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email
from ninja import Router
from pydantic import Field

from backups_portal.accounts.password_reset import can_send
from backups_portal.lib.limits import Limit
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.mail_backend import NOT_ACCEPTED
from backups_portal.projectdb.analyses import write_console
from backups_portal.projectdb.records import RecordError, parse_moment
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, analysis
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests.json_bodies import Body
from backups_portal.tagoio_api.streams.events import publish

MAX_MESSAGE = 100_000
MAX_RECIPIENTS = 10
MAX_SUBJECT, MAX_TEXT = 200, 200_000
DAY_SECONDS = 24 * 60 * 60
NO_MAIL_SERVER = "E-mail is not sent from here: this installation has no mail server (EMAIL_URL)"
NOT_OFFERED = {
    "sms": "SMS are not sent from here",
    "notification": "Notifications of TagoIO's apps are not sent from here",
    "mqtt": "There is no MQTT broker here",
    "attachment": "Attachments of Run's e-mails are not kept here",
}

log = get_logger(__name__)
router = Router(tags=["Analyses"])


class Line(Body):
    """A line that a script wrote, and when."""

    message: str = Field(max_length=MAX_MESSAGE)
    # Milliseconds since 1970 (JavaScript) or a date (Python).
    timestamp: object = None


@router.post("/analysis/services/console/send", auth=analysis, summary="Write to the console")
def send(request: ApiRequest, body: Line) -> str:
    """Keep a line with the analysis, and publish it to its followers."""
    caller = request.auth
    try:
        time = datetime.now(UTC) if body.timestamp is None else parse_moment(body.timestamp)
    except RecordError as error:
        raise ApiError("Invalid timestamp") from error
    analysis_id = caller.token.analysis_id or ""
    write_console(caller.connection, analysis_id, [body.message], time=time)
    channel = f"analysis_console.{analysis_id}"
    payload = {"timestamp": time, "message": body.message}
    publish(caller.project.prefix, channel, channel, payload)
    return "Console Sent"


class Email(Body):
    """An e-mail that a script sends."""

    to: str | list[str] = Field(max_length=10_000)
    subject: str = Field("", max_length=MAX_SUBJECT)
    message: str = Field("", max_length=MAX_TEXT)
    html: str = Field("", max_length=MAX_TEXT)
    attachment: object = None
    template: object = None


@router.post("/analysis/services/email/send", auth=analysis, summary="Send an e-mail")
def send_email(request: ApiRequest, body: Email) -> str:
    """Send to at most 10 addresses; each project has a limit per day."""
    if not can_send():
        raise ApiError(NO_MAIL_SERVER)
    if body.attachment or body.template:
        raise ApiError("E-mail is sent without attachments and templates here: leave them out")
    if not (body.message or body.html):
        raise ApiError("An e-mail needs a message or html")
    recipients = _recipients(body.to)
    _take(request.auth, len(recipients))
    for recipient in recipients:
        # One message each, so that recipients do not see each other's addresses.
        _send(request.auth, body, recipient)
    return "Email Sent"


@router.post("/analysis/services/{service}/{verb}", auth=analysis, summary="Use another service")
def refuse(request: ApiRequest, service: str, verb: str) -> str:
    """Refuse: none of TagoIO's other services is offered."""
    raise ApiError(NOT_OFFERED.get(service, f"There is no service {service[:40]} here"))


def _recipients(to: str | list[str]) -> list[str]:
    names = to.split(",") if isinstance(to, str) else to
    found = list(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not 1 <= len(found) <= MAX_RECIPIENTS:
        raise ApiError(f"An e-mail goes to 1 to {MAX_RECIPIENTS} addresses")
    for name in found:
        try:
            validate_email(name)
        except ValidationError as error:
            raise ApiError(f"{name[:100]} is not an e-mail address") from error
    return found


def _take(caller: Caller, count: int) -> None:
    """Count messages; raise ApiError above the project's daily limit."""
    most = settings.API_EMAILS_PER_DAY
    limit = Limit("api-emails", most, DAY_SECONDS)
    for _ in range(count):
        if most < 1 or limit.take(str(caller.project.pk)):
            raise ApiError(f"The project has sent its {most} e-mails of the last 24 hours")


def _send(caller: Caller, body: Email, recipient: str) -> None:
    message = EmailMultiAlternatives(
        # A line break would start another header.
        subject=" ".join(body.subject.split()) or caller.project.name,
        body=body.message or "This message is in HTML.",
        to=[recipient],
        headers={
            "Auto-Submitted": "auto-generated",
            "X-Backups-Portal-Project": caller.project.slug,
        },
    )
    if body.html:
        message.attach_alternative(body.html, "text/html")
    try:
        message.send()
    except (SMTPException, OSError) as error:
        log.warning(NOT_ACCEPTED, project=caller.project.pk, exc_info=True)
        raise ApiError("The mail server did not take the e-mail. Try again later") from error
