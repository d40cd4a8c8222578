"""Encryption of session data, so that a copy of the table is useless."""

import json

from django.conf import settings

from backups_portal.lib.crypto import DecryptionError, Keyring

PURPOSE = "session"


class SealedSerializer:
    """Serialises a session as JSON encrypted with the installation's key."""

    def dumps(self, session: dict[str, object]) -> bytes:
        return _keyring().seal(json.dumps(session, separators=(",", ":")), PURPOSE)

    def loads(self, sealed: bytes) -> dict[str, object]:
        try:
            return dict(json.loads(_keyring().open(sealed, PURPOSE)))
        except DecryptionError:
            # Sealed with another key, or stored before sessions were sealed: sign the visitor out.
            return {}


def _keyring() -> Keyring:
    return Keyring.from_hex(settings.INSTALLATION_KEY)
