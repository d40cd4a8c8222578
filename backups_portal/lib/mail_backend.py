"""Django's SMTP backend behind a circuit breaker."""

from collections.abc import Sequence
from smtplib import SMTPNotSupportedError, SMTPRecipientsRefused, SMTPResponseException

from django.core.mail import EmailMessage
from django.core.mail.backends import smtp

from backups_portal.lib.circuit_breaker import unless_silent

ANSWERS = (SMTPResponseException, SMTPRecipientsRefused, SMTPNotSupportedError)


class EmailBackend(smtp.EmailBackend):
    """Workers, and requests to an API, must not all wait for the mail server."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send messages.

        Raises:
            SilentError: the server let somebody wait in vain a short while ago.
            OSError: it did not take them (smtplib's errors are OSErrors).
        """
        with unless_silent("mail", f"{self.host}:{self.port}", answers=ANSWERS):
            return super().send_messages(email_messages)
