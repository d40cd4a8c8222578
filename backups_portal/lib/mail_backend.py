"""Django's SMTP backend with a circuit breaker."""

from collections.abc import Sequence
from smtplib import SMTPNotSupportedError, SMTPRecipientsRefused, SMTPResponseException

from django.core.mail import EmailMessage
from django.core.mail.backends import smtp

from backups_portal.lib.circuit_breaker import unless_silent

# The log line for every kind of e-mail; the manual names it.
NOT_ACCEPTED = "the mail server did not accept the message"
ANSWERS = (SMTPResponseException, SMTPRecipientsRefused, SMTPNotSupportedError)


class EmailBackend(smtp.EmailBackend):
    """Keeps workers and API requests from all waiting for a silent mail server."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send messages.

        Raises:
            SilentError: the server timed out recently.
            OSError: the server did not accept them (smtplib's errors are OSErrors).
        """
        with unless_silent("mail", f"{self.host}:{self.port}", answers=ANSWERS):
            return super().send_messages(email_messages)
