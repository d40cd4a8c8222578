"""Keys of the installation: look up secrets, encrypt, sign, and parse backup keys."""

import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

NONCE_BYTES = 12
# In place of a master key: allows reading objects that are not encrypted.
PLAIN = "plain"
MASTER_KEY = re.compile(r"(?P<id>[A-Za-z0-9._-]{1,64}):(?P<key>[0-9a-fA-F]{64})")


class DecryptionError(Exception):
    """The value was sealed with another key or purpose, or was tampered with."""


def _derive(master: bytes, purpose: str) -> bytes:
    return hmac.digest(master, purpose.encode(), hashlib.sha256)


@dataclass(frozen=True)
class Keyring:
    """Purpose-bound keys derived from one 32-byte master key.

    The class reads no settings: callers pass the installation's key in.
    """

    master: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.master) != 32:
            raise ValueError("the installation key must be 32 bytes (64 hex digits)")

    @classmethod
    def from_hex(cls, text: str) -> "Keyring":
        """Parse the key from 64 hex digits; raise ValueError for other text."""
        return cls(bytes.fromhex(text))

    def digest(self, secret: str) -> bytes:
        """Return the HMAC-SHA-256 (32 bytes) under which a secret is looked up."""
        return hmac.digest(_derive(self.master, "lookup"), secret.encode(), hashlib.sha256)

    def seal(self, plain: str, purpose: str) -> bytes:
        """Encrypt a text by AES-256-GCM, bound to its purpose.

        Returns the nonce (12 bytes), the ciphertext and the tag.
        """
        nonce = os.urandom(NONCE_BYTES)
        cipher = AESGCM(_derive(self.master, "seal"))
        return nonce + cipher.encrypt(nonce, plain.encode(), purpose.encode())

    def open(self, sealed: bytes | memoryview, purpose: str) -> str:
        """Decrypt what `seal` returned.

        Raises:
            DecryptionError: another key or purpose, or the bytes were changed.
        """
        cipher = AESGCM(_derive(self.master, "seal"))
        sealed = bytes(sealed)
        try:
            plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode())
        except (InvalidTag, ValueError) as error:  # a ValueError: too few bytes
            raise DecryptionError(
                f"A sealed {purpose} cannot be opened: INSTALLATION_KEY is not the one that this "
                "portal was set up with."
            ) from error
        return plain.decode()

    def signing_key(self, purpose: str) -> Ed25519PrivateKey:
        """Derive the Ed25519 key of a purpose, by HKDF (RFC 5869) with SHA-256."""
        derived = HKDF(SHA256(), length=32, salt=None, info=f"signing key: {purpose}".encode())
        return Ed25519PrivateKey.from_private_bytes(derived.derive(self.master))


def parse_master_keys(text: str) -> tuple[dict[str, bytes], bool]:
    """Parse comma-separated `id:64 hex digits`.

    The first key is the one in use; others and `plain` may follow.

    Returns:
        The keys by id, in their order, and whether `plain` is among the entries.

    Raises:
        ValueError: the text is invalid; the message repeats no key.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    keys: dict[str, bytes] = {}
    for number, part in enumerate(parts, start=1):
        if part == PLAIN:
            continue
        found = MASTER_KEY.fullmatch(part)
        if found is None:
            raise ValueError(
                f"entry {number} is not an id, a colon and 64 hex digits, such as 2026-11:5e…"
            )
        if found["id"] in keys:
            raise ValueError(f"the id {found['id']} is listed twice")
        keys[found["id"]] = bytes.fromhex(found["key"])
    if parts and not keys:
        raise ValueError("there is no key besides `plain`")
    return keys, PLAIN in parts
