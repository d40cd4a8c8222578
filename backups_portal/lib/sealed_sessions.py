"""Seal what sessions hold: a copy of their table opens nothing."""

import json

from django.conf import settings

from backups_portal.lib.crypto import DecryptionError, Keyring

PURPOSE = "session"


class SealedSerializer:
    """Write a session as JSON that only the installation's key opens."""

    def dumps(self, session: dict[str, object]) -> bytes:
        return _keyring().seal(json.dumps(session, separators=(",", ":")), PURPOSE)

    def loads(self, sealed: bytes) -> dict[str, object]:
        try:
            return dict(json.loads(_keyring().open(sealed, PURPOSE)))
        except DecryptionError:
            # Of another key, or from before sessions were sealed: nobody is signed in.
            return {}


def _keyring() -> Keyring:
    return Keyring.from_hex(settings.INSTALLATION_KEY)
