"""The mail server's URL, and the connection that it yields."""

import smtplib
import ssl
from contextlib import suppress
from typing import Any

import pytest
from django.core.mail import EmailMessage, get_connection
from pytest_django import Settings

from backups_portal.lib.addresses.mail_server import mail_settings, sender
from backups_portal.lib.addresses.url import AddressError
from tests.lib.addresses.listener import Certificate, listening, smtp

SECRET = "s3cretpart"
HOST, PORT, USER, PASSWORD, UPGRADED, SECURE = (
    *("EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER"),
    *("EMAIL_HOST_PASSWORD", "EMAIL_USE_TLS", "EMAIL_USE_SSL"),
)
NAMES = (HOST, PORT, USER, PASSWORD, UPGRADED, SECURE)
TABLE: dict[str, tuple[Any, ...]] = {
    "smtp://h": ("h", 25, "", "", False, False),
    "smtp://h:2525": ("h", 2525, "", "", False, False),
    "smtp+tls://u%40x:p%2F%23%24@h": ("h", 587, "u@x", "p/#$", True, False),
    "smtp+tls://u:p@[2001:db8::1]:587": ("2001:db8::1", 587, "u", "p", True, False),
    "smtps://u:p@h": ("h", 465, "u", "p", False, True),
    "smtps://u:p@h:465": ("h", 465, "u", "p", False, True),
    "smtp+ssl://u:$p@h:1465/": ("h", 1465, "u", "$p", False, True),
    "": ("", 25, "", "", False, False),
}


@pytest.mark.parametrize("url", TABLE)
def test_django_gets_what_the_address_says(url: str) -> None:
    found = mail_settings(url)
    assert tuple(found[name] for name in NAMES) == TABLE[url]
    ours, none = "backups_portal.lib.mail_backend", "django.core.mail.backends.dummy"
    assert found["EMAIL_BACKEND"] == f"{ours if url else none}.EmailBackend"


REFUSED = {
    f"imap://u:{SECRET}@h": "write smtp+tls://",
    f"smtps://u:{SECRET}@h:587": "write smtp+tls:// for it",
    f"smtp+tls://u:{SECRET}@h:465": "write smtps:// for it",
    f"smtp://u:{SECRET}@h:465": "write smtps:// for it",
    f"smtp://u:{SECRET}@h/path": "a host and nothing behind it",
    f"smtp://u:{SECRET}@h?timeout=5": "takes no parameters",
    f"smtp://u:{SECRET}#1@h": "contains a #",
    f"smtp://u:{SECRET}/1@h": "Its host or port",
    f"smtp://u:{SECRET}@": "a host and nothing",
    f"smtp://u:{SECRET}@h:smtp": "Its host or port",
    "mail.example.com": "write smtp+tls://",
    "filemail://folder": "three slashes",
}


@pytest.mark.parametrize("url", REFUSED)
def test_what_cannot_be_meant_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(AddressError) as refused:
        mail_settings(url)
    assert REFUSED[url] in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("scheme", "heard"),
    [("smtp", (True, False)), ("smtp+tls", (False, True)), ("smtps", (False, True))],
)
def test_a_mail_server_is_spoken_to_as_its_scheme_says(
    scheme: str,
    heard: tuple[bool, bool],
    certificate: Certificate,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening(certificate, smtp) as server:
        for name, value in mail_settings(f"{scheme}://localhost:{server.port}").items():
            setattr(settings, name, value)
        message = EmailMessage("s", "b", "a@example.com", ["b@example.com"])
        if scheme != "smtp":
            # The client does not trust this certificate yet.
            with pytest.raises(ssl.SSLCertVerificationError):
                get_connection().send_messages([message])
            assert server.heard == (False, False)
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
        with suppress(smtplib.SMTPException, OSError):
            get_connection().send_messages([message])
        assert server.heard == heard


@pytest.mark.parametrize("text", ["portal@example.com", "The Portal <portal@example.com>"])
def test_a_sender_is_an_address(text: str) -> None:
    assert sender(text) == text


@pytest.mark.parametrize("text", ["portal", "@example.com", "a@b\nBcc: c@d", "x y@", "*"])
def test_anything_else_is_no_sender(text: str) -> None:
    with pytest.raises(AddressError):
        sender(text)
