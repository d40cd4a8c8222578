"""A project's notification addresses and secret, sealed in the database."""

from backups_portal.notifications.models import NotificationSettings
from backups_portal.projects.database_dsn import keyring

WEBHOOK_URL = "webhook url"
WEBHOOK_SECRET = "webhook secret"  # noqa: S105 - names what is sealed, is no secret
HEARTBEAT_URL = "heartbeat url"


def seal(plain: str, purpose: str) -> bytes | None:
    """Seal a text for storage; None for an empty one."""
    return keyring().seal(plain, purpose) if plain else None


def webhook_url(row: NotificationSettings) -> str:
    """Return the URL that messages are posted to, or ""."""
    return _open(row.sealed_webhook_url, WEBHOOK_URL)


def webhook_secret(row: NotificationSettings) -> str:
    """Return the secret that signs messages, or ""."""
    return _open(row.sealed_webhook_secret, WEBHOOK_SECRET)


def heartbeat_url(row: NotificationSettings) -> str:
    """Return the URL that is requested after each stored backup, or ""."""
    return _open(row.sealed_heartbeat_url, HEARTBEAT_URL)


def _open(sealed: bytes | memoryview | None, purpose: str) -> str:
    return keyring().open(sealed, purpose) if sealed else ""
