"""The address of the mail server, and Django's settings for it."""

from email.utils import parseaddr
from typing import Any

from backups_portal.lib.addresses.url import AddressError, Parts, split

EXAMPLE = (
    "smtp+tls://user:password@mail.example.com:587 (STARTTLS), smtps://…:465 (TLS from the first "
    "byte) or smtp://…:25 (in the clear)"
)
BACKENDS = "django.core.mail.backends"
# By scheme: whether it upgrades by STARTTLS, whether it is TLS at once, and its default port.
SCHEMES = {
    "smtp": (False, False, 25),
    "smtp+tls": (True, False, 587),
    "smtps": (False, True, 465),
    "smtp+ssl": (False, True, 465),
}
# For development: print messages to the terminal, or write them to files in a folder.
CONSOLE, FILES = "consolemail", "filemail"


def mail_settings(text: str) -> dict[str, object]:
    """Make Django's mail settings; an empty address switches mail off.

    Raises:
        AddressError: the address cannot be used.
    """
    text = text.strip()
    if not text:
        return _settings("dummy")
    parts = split(text, (*SCHEMES, CONSOLE, FILES), EXAMPLE)
    if parts.parameters:
        raise AddressError("The address of a mail server takes no parameters.")
    if parts.scheme == CONSOLE:
        return _settings("console")
    if parts.scheme == FILES:
        return _folder(parts)
    return _server(parts)


def sender(text: str) -> str:
    """Check the sender of messages: `address` or `Name <address>`.

    Raises:
        AddressError: it is not an e-mail address.
    """
    name, address = parseaddr(text)
    user, _, host = address.rpartition("@")
    if not user or not host or not text.isprintable() or (text != address and not name):
        raise AddressError("It is an address such as backups-portal@example.com.")
    return text


def _settings(backend: str, **more: Any) -> dict[str, object]:
    nowhere = {
        "EMAIL_HOST": "",
        "EMAIL_PORT": 25,
        "EMAIL_HOST_USER": "",
        "EMAIL_HOST_PASSWORD": "",
        "EMAIL_USE_TLS": False,
        "EMAIL_USE_SSL": False,
        "EMAIL_FILE_PATH": None,
    }
    return {"EMAIL_BACKEND": f"{BACKENDS}.{backend}.EmailBackend", **nowhere, **more}


def _folder(parts: Parts) -> dict[str, object]:
    if parts.host or not parts.path.strip("/"):
        raise AddressError("A folder for messages is named with three slashes: filemail:///folder.")
    return _settings("filebased", EMAIL_FILE_PATH=parts.path)


def _server(parts: Parts) -> dict[str, object]:
    is_upgraded, is_secure, port = SCHEMES[parts.scheme]
    if not parts.host or parts.path.strip("/"):
        raise AddressError(f"It names a host and nothing behind it: write {EXAMPLE}.")
    if parts.port == 587 and is_secure:
        raise AddressError("Port 587 turns to TLS by STARTTLS: write smtp+tls:// for it.")
    if parts.port == 465 and not is_secure:
        raise AddressError("Port 465 is TLS from the first byte: write smtps:// for it.")
    return _settings(
        "smtp",
        EMAIL_BACKEND="backups_portal.lib.mail_backend.EmailBackend",
        EMAIL_HOST=parts.host,
        EMAIL_PORT=parts.port or port,
        EMAIL_HOST_USER=parts.user,
        EMAIL_HOST_PASSWORD=parts.password,
        EMAIL_USE_TLS=is_upgraded,
        EMAIL_USE_SSL=is_secure,
    )
