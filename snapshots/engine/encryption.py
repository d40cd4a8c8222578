"""Encrypt objects with AES-256-GCM and a key per project.

A project's data key is random. It is stored next to what it encrypts, itself encrypted ("wrapped")
by a master key of the installation, so that a copy of the storage and the master keys are enough
to read everything again. An object is

    ENCRYPTED (4 bytes) + id of the data key (8) + nonce (12) + ciphertext + tag (16)

and authenticated with its whole name, which begins with the project's id: an object that was
swapped for another, or cut, is refused. Rotation wraps the data keys again and touches no other
object; destroying a project's data keys destroys its backups.

Names are digests of the plaintext, so that equal content of one project is stored once. A reader
who can list the storage and already has a segment's exact bytes can tell that it is stored.
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backups_portal.lib.crypto import PLAIN, parse_master_keys
from backups_portal.lib.failure_causes import Cause
from snapshots.engine.errors import DamagedSnapshotError, EncryptionError, MissingObjectError
from snapshots.engine.layout import is_data_key, keys_folder
from snapshots.engine.storage import ENCRYPTED, Storage

KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 12
TAG_BYTES = 16
HEADER_BYTES = len(ENCRYPTED) + KEY_ID_BYTES + NONCE_BYTES
OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
# Segments and manifests begin like this if they are not encrypted.
PLAIN_STARTS = (b"PAR1", b"{")
FORMAT = 1


@dataclass(frozen=True)
class MasterKeys:
    """The keys of the installation.

    Attributes:
        keys: 32 bytes by id; the first key wraps, all of them unwrap.
        plain: Whether unencrypted objects, stored before there was a key, may be read.
    """

    keys: Mapping[str, bytes] = field(repr=False)
    plain: bool = False

    @classmethod
    def parse(cls, text: str) -> "MasterKeys | None":
        """Read `id:64 hex digits`, separated by commas, the current key first.

        Returns:
            None for an empty text: nothing is encrypted.

        Raises:
            ValueError: the text has another format; the message repeats no key.
        """
        keys, is_plain = parse_master_keys(text)
        return cls(keys, plain=is_plain) if keys else None

    @property
    def current(self) -> str:
        """Return the id of the master key that wraps."""
        return next(iter(self.keys))

    def wrap(self, name: str, data_key: bytes) -> bytes:
        """Write the object in which a data key is stored under `name`."""
        nonce = os.urandom(NONCE_BYTES)
        cipher = AESGCM(self.keys[self.current])
        wrapped = nonce + cipher.encrypt(nonce, data_key, _bound(name, self.current))
        return json.dumps(
            {
                "format": FORMAT,
                "master_key": self.current,
                "wrapped": base64.b64encode(wrapped).decode(),
            }
        ).encode()

    def unwrap(self, name: str, stored: bytes) -> tuple[str, bytes]:
        """Return a data key, and the id of the master key that wrapped it.

        Raises:
            EncryptionError: the master key is not listed or differs, or the object was changed.
        """
        try:
            document = json.loads(stored)
            master, wrapped = document["master_key"], base64.b64decode(document["wrapped"])
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise EncryptionError(f"The key of this project, {name}, was changed.") from error
        if master not in self.keys:
            raise EncryptionError(
                f"The key of this project, {name}, is locked with the master key {master}, which "
                "SNAPSHOT_MASTER_KEYS does not name."
            )
        cipher = AESGCM(self.keys[master])
        try:
            nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
            return master, cipher.decrypt(nonce, sealed, _bound(name, master))
        except (InvalidTag, ValueError) as error:
            raise EncryptionError(
                f"The key of this project, {name}, cannot be opened: the master key {master} in "
                "SNAPSHOT_MASTER_KEYS is not the one that it was locked with, or it was changed."
            ) from error


def _bound(name: str, master: str) -> bytes:
    return f"{name} {master}".encode()


class ProjectCipher:
    """Encrypts and decrypts objects with their projects' cached data keys.

    Two workers that store a project's first objects may both make a key: each object names its own
    key, and both keys stay.
    """

    def __init__(self, storage: Storage, masters: MasterKeys) -> None:
        self._storage = storage
        self._masters = masters
        self._known: dict[str, AESGCM] = {}
        self._writing: dict[str, str] = {}
        # The readers of one snapshot store objects in parallel.
        self._lock = Lock()

    def seal(self, key: str, content: bytes) -> bytes:
        """Encrypt an object, creating the project's data key if it has none."""
        name = self._writing_key(key)
        nonce = os.urandom(NONCE_BYTES)
        head = ENCRYPTED + bytes.fromhex(name.rpartition("/")[2]) + nonce
        return head + self._cipher(name).encrypt(nonce, content, key.encode())

    def open(self, key: str, stored: bytes) -> bytes:
        """Decrypt an object.

        Raises:
            EncryptionError: its key is missing or unusable, or it is not encrypted.
            DamagedSnapshotError: its bytes were changed.
        """
        if not _is_encrypted(stored):
            if self._masters.plain:
                return stored
            if not stored.startswith(PLAIN_STARTS):
                raise _damaged(key)
            raise EncryptionError(
                f"{key} is not encrypted. If it was stored before encryption was turned on, add "
                f"`{PLAIN}` to SNAPSHOT_MASTER_KEYS; otherwise somebody has put it there."
            )
        key_id = stored[len(ENCRYPTED) : len(ENCRYPTED) + KEY_ID_BYTES].hex()
        nonce = stored[HEADER_BYTES - NONCE_BYTES : HEADER_BYTES]
        cipher = self._cipher(f"{keys_folder(_project(key))}{key_id}")
        try:
            return cipher.decrypt(nonce, memoryview(stored)[HEADER_BYTES:], key.encode())
        except (InvalidTag, ValueError) as error:
            # The data key itself was authentic, so no setting is to blame.
            raise _damaged(key) from error

    def sizes(self, size: int) -> tuple[int, ...]:
        """Return the sizes that an object of `size` bytes may have in storage."""
        encrypted = size + OVERHEAD_BYTES
        return (encrypted, size) if self._masters.plain else (encrypted,)

    def opens(self, key: str, stored: bytes) -> bool:
        """Tell whether stored bytes are a data key that a master key can unwrap."""
        try:
            self._masters.unwrap(key, stored)
        except EncryptionError:
            return False
        return True

    def _writing_key(self, key: str) -> str:
        project = _project(key)
        with self._lock:
            if project not in self._writing:
                names = data_keys(self._storage, project)
                self._writing[project] = names[0] if names else self._new_key(keys_folder(project))
            return self._writing[project]

    def _new_key(self, folder: str) -> str:
        name = f"{folder}{os.urandom(KEY_ID_BYTES).hex()}"
        data_key = os.urandom(KEY_BYTES)
        self._storage.put(name, self._masters.wrap(name, data_key))
        # Verify the key: if it cannot be read again, every backup is lost.
        if self._masters.unwrap(name, self._storage.get(name))[1] != data_key:
            raise EncryptionError(
                f"The backup storage returned another key than was written {name}",
                cause=Cause.STORAGE,
            )
        return name

    def _cipher(self, name: str) -> AESGCM:
        if name not in self._known:
            try:
                stored = self._storage.get(name)
            except MissingObjectError as error:
                raise EncryptionError(
                    f"The key that this was encrypted with, {name}, is not in the backup storage."
                ) from error
            self._known[name] = AESGCM(self._masters.unwrap(name, stored)[1])
        return self._known[name]


def _is_encrypted(stored: bytes) -> bool:
    return stored.startswith(ENCRYPTED) and len(stored) >= OVERHEAD_BYTES


def _damaged(key: str) -> DamagedSnapshotError:
    return DamagedSnapshotError(
        f"{key} is not what was stored: it was changed, cut or swapped for another object."
    )


def _project(key: str) -> str:
    return key.partition("/")[0]


def data_keys(storage: Storage, project: object) -> list[str]:
    """List the names of a project's wrapped data keys, in order.

    Raises:
        StorageError: the storage cannot be listed.
    """
    return sorted(item.key for item in storage.list(keys_folder(project)) if is_data_key(item.key))
