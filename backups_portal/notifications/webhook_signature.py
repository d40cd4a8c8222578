"""Sign webhooks by Standard Webhooks (https://www.standardwebhooks.com)."""

import secrets
from base64 import b64encode
from datetime import datetime
from uuid import UUID

from standardwebhooks import Webhook

PREFIX = "whsec_"
KEY_BYTES = 32


def new_secret() -> str:
    """Make a webhook's secret: a prefix, and 32 random bytes in Base64."""
    return PREFIX + b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def message_id(delivery_id: UUID) -> str:
    """Return the id by which a receiver deduplicates messages."""
    return f"msg_{delivery_id.hex}"


def signed_headers(secret: str, message_id: str, content: str, at: datetime) -> dict[str, str]:
    """Return the headers that authenticate a message: id, time and signature.

    Args:
        at: The time of this attempt, in UTC.
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, content),
    }
