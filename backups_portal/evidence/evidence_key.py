"""The key with which this installation signs evidence."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from backups_portal.projects.database_dsn import keyring

PURPOSE = "evidence"


def signing_key() -> Ed25519PrivateKey:
    """Derive the signing key from the installation key."""
    return keyring().signing_key(PURPOSE)


def public_key() -> Ed25519PublicKey:
    """Return the key that verifies this installation's evidence."""
    return signing_key().public_key()
