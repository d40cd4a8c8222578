"""An evidence file is exactly what the trusted key signed, or it is refused."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backups_portal.evidence import signed_envelope
from backups_portal.evidence.signed_envelope import (
    Evidence,
    EvidenceError,
    fingerprint,
    parse_public_key,
    pem,
    read_evidence,
    seal_evidence,
)

DOCUMENT = {"format": "backups-portal-evidence", "version": 1, "title": "Ä “title”", "n": [1, 2]}
KEY, OTHER = Ed25519PrivateKey.from_private_bytes(b"k" * 32), Ed25519PrivateKey.generate()


def written(members: dict[str, str], **dumps: Any) -> bytes:
    return json.dumps(members, **dumps).encode()


def sealed(document: Any = DOCUMENT, key: Ed25519PrivateKey = KEY) -> dict[str, str]:
    return seal_evidence(orjson.dumps(document), key)


def read(content: bytes, key: Ed25519PrivateKey = KEY) -> Evidence:
    return read_evidence(io.BytesIO(content), key.public_key())


@pytest.mark.parametrize("dumps", [{}, {"indent": 2}, {"ensure_ascii": False}, {"sort_keys": True}])
def test_a_file_is_valid_however_its_json_is_written(dumps: dict[str, Any]) -> None:
    evidence = read(written(sealed(), **dumps) + b"\n")
    assert (evidence.document, evidence.fingerprint) == (DOCUMENT, fingerprint(KEY.public_key()))


def test_no_byte_of_a_file_can_be_changed() -> None:
    """One bit of every byte is changed; except for blanks and escapes, every change is noticed."""
    content = orjson.dumps(sealed())
    members = sealed()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        try:
            evidence = read(bytes(changed))
        except EvidenceError:
            continue
        # JSON may encode the same text in two ways, but the text must not differ.
        assert json.loads(bytes(changed)) == members, place
        assert evidence.document == DOCUMENT


def test_a_key_of_ones_own_makes_nothing_valid() -> None:
    """A forger signs other content and puts their own key into the file."""
    with pytest.raises(EvidenceError, match=fingerprint(OTHER.public_key())):
        read(written(sealed(key=OTHER)))


def changed(**members: str) -> bytes:
    return written({**sealed(), **members})


SIGNATURE = sealed()["signature"]
CHANGED = {
    "another payload": changed(payload=sealed()["payload"].replace("1", "2")),
    "an empty payload": changed(payload=""),
    "half of a surrogate": changed(payload="\ud800"),
    "another signature": changed(signature=base64.b64encode(bytes(64)).decode()),
    "a short signature": changed(signature="AAAA"),
    "no signature": changed(signature=""),
    "a signature that is none": changed(signature="…"),
    # The last digit before the padding has four bits that decode to nothing.
    "the same signature, spelt in another way": changed(
        signature=f"{SIGNATURE[:-3]}{chr(ord(SIGNATURE[-3]) + 1)}=="
    ),
    "another key": changed(
        public_key=pem(OTHER.public_key()), signed_by=fingerprint(OTHER.public_key())
    ),
    "another key and not its fingerprint": changed(public_key=pem(OTHER.public_key())),
    "another fingerprint": changed(signed_by="00" * 32),
    "a key that is none": changed(public_key="-----BEGIN PUBLIC KEY-----"),
    "a key with a blank more": changed(public_key=pem(KEY.public_key()) + "\n"),
    "a note more": changed(note="all fine"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_changed_file_is_refused(name: str) -> None:
    with pytest.raises(EvidenceError, match="changed after it was signed"):
        read(CHANGED[name])


NOTHING = {
    "empty": b"",
    "binary": bytes(range(256)) * 100,
    "text": b"# Evidence\n",
    "a number": b"7",
    "a list": b"[]",
    "an empty object": b"{}",
    "a version with a zero more": changed(format="backups-portal-evidence-01"),
    "other JSON": b'{"format": "something", "payload": "x"}',
    "no texts": b'{"format": 1}',
    "nested": b'{"format": {"format": "backups-portal-evidence-1"}}',
    "deeply nested": b"[" * 1_000_000,
    "many objects": b'{"format": [' + b"[]," * 300_000,
    "a cut file": orjson.dumps(sealed())[:-20],
    "something behind it": orjson.dumps(sealed()) + b"x",
    "a part twice": orjson.dumps(sealed())[:-1] + b',"payload": "x"}',
    "a part too little": written({k: v for k, v in sealed().items() if k != "signed_by"}),
    "signed, but no evidence": written(sealed({"format": "invoice", "version": 1})),
    "signed, but no object": written(sealed([1])),
    "signed, but no JSON": written(seal_evidence(b"hello", KEY)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_evidence_is_said_to_be_none(name: str) -> None:
    with pytest.raises(EvidenceError, match=r"not (an )?evidence"):
        read(NOTHING[name])


def test_a_huge_file_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_envelope, "MAX_BYTES", 1_000)
    with Path("/dev/zero").open("rb") as file, pytest.raises(EvidenceError, match="more than"):
        read_evidence(file, KEY.public_key())


@pytest.mark.parametrize(
    "content",
    [
        changed(format="backups-portal-evidence-2"),
        written(sealed({**DOCUMENT, "version": 2})),
    ],
)
def test_a_newer_version_is_named(content: bytes) -> None:
    with pytest.raises(EvidenceError, match="version"):
        read(content)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "not PEM"),
        (b"x" * 20_000, "too large"),
        (
            X25519PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "not an Ed25519 key",
        ),
    ],
)
def test_a_key_that_is_none_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_public_key(text)
