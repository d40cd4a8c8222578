"""Check an evidence file with a trusted key, without Django or a portal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from backups_portal.evidence.signed_envelope import (
    MAX_KEY_BYTES,
    Evidence,
    EvidenceError,
    parse_public_key,
    read_evidence,
)


class CheckError(Exception):
    """The file is invalid or cannot be checked; the message is a sentence."""


def check_file(path: Path, trusted: Ed25519PublicKey) -> Evidence:
    """Verify an evidence file; raise CheckError."""
    with _readable(path), path.open("rb") as file:
        try:
            return read_evidence(file, trusted)
        except EvidenceError as error:
            raise CheckError(f"{path}: {error}") from error


def read_key(path: Path) -> Ed25519PublicKey:
    """Read a public key from a PEM file; raise CheckError."""
    with _readable(path), path.open("rb") as file:
        try:
            return parse_public_key(file.read(MAX_KEY_BYTES + 1))
        except ValueError as error:
            raise CheckError(f"{path} is not a public key of evidence: {error}.") from error


def verdict(evidence: Evidence, signed_by: str) -> str:
    """Say in one sentence what is valid and which key signed it."""
    document = evidence.document
    return (
        f"Valid: “{document['title']}”, as of {document['as_of']}, signed by {signed_by} "
        f"(SHA-256 {evidence.fingerprint})."
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckError(f"{path} cannot be read: {error.strerror}.") from error
