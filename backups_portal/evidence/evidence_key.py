"""The key with which this installation signs evidence."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from backups_portal.lib.crypto import Keyring

PURPOSE = "evidence"


def signing_key() -> Ed25519PrivateKey:
    """Derive the signing key from the installation key."""
    return Keyring.from_hex(settings.INSTALLATION_KEY).signing_key(PURPOSE)


def public_key() -> Ed25519PublicKey:
    """Return the key that verifies this installation's evidence."""
    return signing_key().public_key()
