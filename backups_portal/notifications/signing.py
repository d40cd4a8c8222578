"""Signed webhooks as Standard Webhooks has them: receivers have libraries that check them.

https://www.standardwebhooks.com
"""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from datetime import datetime
from uuid import UUID

PREFIX = "whsec_"
KEY_BYTES = 32


def new_secret() -> str:
    """A new secret of a webhook: a prefix, and 32 random bytes in Base64."""
    return PREFIX + b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def message_id(delivery_id: UUID) -> str:
    """The id by which a receiver knows a message that it has already."""
    return f"msg_{delivery_id.hex}"


def signed_headers(secret: str, message_id: str, content: bytes, at: datetime) -> dict[str, str]:
    """The headers that prove a message: its id, the time of this try, and the HMAC-SHA256."""
    moment = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), moment.encode(), content))
    key = b64decode(secret.removeprefix(PREFIX))
    signature = b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{signature}",
    }
