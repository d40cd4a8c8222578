"""Keys of the installation: keyed hashes to look secrets up, and authenticated encryption."""

import hashlib
import hmac
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class DecryptionError(Exception):
    """The value was sealed with another key, for another purpose, or was changed."""


def _derive(master: bytes, purpose: str) -> bytes:
    return hmac.digest(master, purpose.encode(), hashlib.sha256)


@dataclass(frozen=True)
class Keyring:
    """Purpose-bound keys derived from one 32-byte master key.

    The class carries no settings: callers pass the installation's key in.
    """

    master: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.master) != 32:
            raise ValueError("the installation key must be 32 bytes (64 hex digits)")

    @classmethod
    def from_hex(cls, text: str) -> "Keyring":
        """Raises ValueError where the text is not 64 hex digits."""
        return cls(bytes.fromhex(text))

    def digest(self, secret: str) -> bytes:
        """The 32-byte HMAC-SHA-256 under which a secret is looked up; it tells nothing of it."""
        return hmac.digest(_derive(self.master, "lookup"), secret.encode(), hashlib.sha256)

    def seal(self, plain: str, purpose: str) -> bytes:
        """AES-256-GCM of the text, bound to its purpose: nonce (12 bytes) + ciphertext + tag."""
        nonce = os.urandom(NONCE_BYTES)
        cipher = AESGCM(_derive(self.master, "seal"))
        return nonce + cipher.encrypt(nonce, plain.encode(), purpose.encode())

    def open(self, sealed: bytes | memoryview, purpose: str) -> str:
        """The text that `seal` was given.

        Raises:
            DecryptionError: another key or purpose, or the bytes were changed.
        """
        cipher = AESGCM(_derive(self.master, "seal"))
        sealed = bytes(sealed)
        try:
            plain = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode())
        except InvalidTag as error:
            raise DecryptionError(f"cannot open a sealed value for {purpose}") from error
        return plain.decode()
