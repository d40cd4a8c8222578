"""The evidence file: a text and an Ed25519 signature of exactly its bytes.

The file is one JSON object of five strings, and nothing else:

    {"format": "backups-portal-evidence-1", "signed_by": FINGERPRINT, "public_key": PEM,
     "signature": BASE64, "payload": TEXT}

The signature (RFC 8032) covers the UTF-8 bytes of the payload. The payload is JSON, too, but a
check never serializes it again, so it does not depend on a canonical form. The fingerprint is the
SHA-256 of the public key's SubjectPublicKeyInfo in DER. The key in the file only identifies the key
to look for, and is no reason to trust the file.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONDecodeError, JSONDecoder, loads
from typing import BinaryIO

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from backups_portal.lib.json_types import JsonObject

FORMAT_NAME = "backups-portal-evidence"
VERSION = 1
FORMAT = re.compile(rf"{FORMAT_NAME}-([1-9]\d{{0,8}})", re.ASCII)
MEMBERS = {"format", "signed_by", "public_key", "signature", "payload"}
# Evidence of two years in which every section is full stays below this.
MAX_BYTES = 256 * 2**20
MAX_KEY_BYTES = 10_000
BLANKS = re.compile(r"[ \t\r\n]*")


class EvidenceError(Exception):
    """The file is not valid evidence; the message says why in one sentence."""


@dataclass(frozen=True)
class Evidence:
    """The contents of a valid file, and the fingerprint of its key."""

    document: JsonObject
    fingerprint: str


def seal_evidence(payload: bytes, key: Ed25519PrivateKey) -> dict[str, str]:
    """Sign a payload; return the members of the file."""
    public = key.public_key()
    return {
        "format": f"{FORMAT_NAME}-{VERSION}",
        "signed_by": fingerprint(public),
        "public_key": pem(public),
        "signature": base64.b64encode(key.sign(payload)).decode(),
        "payload": payload.decode(),
    }


def read_evidence(file: BinaryIO, trusted: Ed25519PublicKey) -> Evidence:
    """Verify a file with a key that its reader trusts.

    Raises:
        EvidenceError: the file is not valid; the message says why.
        OSError: the file cannot be read.
    """
    members = _members(_text(file))
    _check_form(members)
    signature, payload = _signature(members), members["payload"].encode("utf-8", "surrogatepass")
    carried = _carried_key(members)
    if not _is_signed(payload, signature, trusted):
        is_by_carried = _is_signed(payload, signature, carried)
        if is_by_carried and fingerprint(carried) != fingerprint(trusted):
            raise EvidenceError(
                f"This file was signed by another key (SHA-256 {fingerprint(carried)}), "
                "so it is not evidence of the installation that you trust."
            )
        raise EvidenceError("This file was changed after it was signed.")
    if fingerprint(carried) != fingerprint(trusted) or members["public_key"] != pem(trusted):
        raise EvidenceError("This file was changed after it was signed: it carries another key.")
    return Evidence(_document(payload), fingerprint(trusted))


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of a key's SubjectPublicKeyInfo in DER, in hex."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()


def pem(key: Ed25519PublicKey) -> str:
    """Encode a public key as PEM, which openssl reads."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def parse_public_key(text: bytes) -> Ed25519PublicKey:
    """Parse a public key from PEM.

    Raises:
        ValueError: it is not the public part of an Ed25519 key.
    """
    if len(text) > MAX_KEY_BYTES:
        raise ValueError("it is too large")
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("it is not PEM of a public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("it is not an Ed25519 key")
    return key


def _text(file: BinaryIO) -> str:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise EvidenceError(
            f"This is not an evidence file: it has more than {MAX_BYTES // 2**20} MiB."
        )
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise EvidenceError("This is not an evidence file.") from error


def _members(text: str) -> Mapping[str, str]:
    """Parse a flat object of unique strings; nesting could exhaust memory."""
    found: dict[str, str] = {}
    place = _after(text, 0, "{")
    while True:
        name, place = _string(text, place)
        value, place = _string(text, _after(text, place, ":"))
        if name in found:
            raise EvidenceError("This is not an evidence file: one of its parts is repeated.")
        found[name] = value
        place = _skip_blanks(text, place)
        if text[place : place + 1] != ",":
            break
        place += 1
    end = _after(text, place, "}")
    if BLANKS.fullmatch(text, end) is None:
        raise EvidenceError("This is not an evidence file: something follows it.")
    return found


def _string(text: str, place: int) -> tuple[str, int]:
    start = _after(text, place, '"') - 1
    try:
        value, end = JSONDecoder().raw_decode(text, start)
    except JSONDecodeError as error:
        raise EvidenceError("This is not an evidence file.") from error
    return str(value), end


def _skip_blanks(text: str, place: int) -> int:
    blanks = BLANKS.match(text, place)
    return blanks.end() if blanks else place


def _after(text: str, place: int, sign: str) -> int:
    """Return the position after an expected sign, skipping blanks before it."""
    place = _skip_blanks(text, place)
    if text[place : place + 1] != sign:
        raise EvidenceError("This is not an evidence file.")
    return place + 1


def _check_form(members: Mapping[str, str]) -> None:
    found = FORMAT.fullmatch(members.get("format", ""))
    if found is None:
        raise EvidenceError("This is not an evidence file.")
    if int(found[1]) != VERSION:
        raise EvidenceError(
            f"This evidence has version {int(found[1])}; this portal reads version {VERSION}."
        )
    if missing := sorted(MEMBERS - members.keys()):
        raise EvidenceError(f"This is not an evidence file: it has no {missing[0]}.")
    if members.keys() != MEMBERS:
        raise EvidenceError("This file was changed after it was signed: something was added.")


def _signature(members: Mapping[str, str]) -> bytes:
    try:
        found = base64.b64decode(members["signature"], validate=True)
    except (binascii.Error, ValueError):
        found = b""
    # Base64 can end in unused bits, and a change of these must be detected too.
    if base64.b64encode(found).decode() != members["signature"]:
        raise EvidenceError(
            "This file was changed after it was signed: its signature cannot be read."
        )
    return found


def _carried_key(members: Mapping[str, str]) -> Ed25519PublicKey:
    try:
        key = parse_public_key(members["public_key"].encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise EvidenceError(
            "This file was changed after it was signed: its key cannot be read."
        ) from error
    if members["signed_by"] != fingerprint(key):
        raise EvidenceError(
            "This file was changed after it was signed: its fingerprint is not that of its key."
        )
    return key


def _is_signed(payload: bytes, signature: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(signature, payload)
    except InvalidSignature:
        return False
    return True


def _document(payload: bytes) -> JsonObject:
    """Parse what was signed, and check the format and version that it names."""
    try:
        document = loads(payload)
    except (ValueError, RecursionError) as error:
        raise EvidenceError("What was signed is not evidence.") from error
    form = document.get("format") if isinstance(document, dict) else None
    if form != FORMAT_NAME:
        raise EvidenceError("What was signed is not evidence.")
    if document.get("version") != VERSION:
        raise EvidenceError("What was signed has a version that this portal cannot read.")
    found: JsonObject = document
    return found
