"""`manage.py verify_evidence FILE`: whether a file of evidence is what was signed, and by whom."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.management.base import CommandError

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.evidence.evidence_key import public_key
from backups_portal.evidence.signed_envelope import (
    MAX_KEY_BYTES,
    Evidence,
    EvidenceError,
    fingerprint,
    parse_public_key,
    pem,
    read_evidence,
)


class Command(OperatorCommand):
    """Asks no database; with `--public-key`, it does not need the installation either."""

    help = (
        "Check that a file of backup evidence was signed by this installation, or by the key of "
        "--public-key, and was not changed since. The key inside the file counts for nothing."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, nargs="?", metavar="FILE")
        parser.add_argument(
            "--public-key",
            type=Path,
            metavar="KEY",
            help="PEM of the key that you trust, which the page of evidence offers",
        )
        parser.add_argument(
            "--print-key",
            action="store_true",
            help="print the public key of this installation, and check nothing",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: object, **options: Any) -> None:
        if options["print_key"]:
            self.stdout.write(pem(public_key()), ending="")
            self.stderr.write(f"SHA-256 {fingerprint(public_key())}")
            return
        if options["file"] is None:
            raise CommandError("Name the file of evidence.")
        trusted = _trusted(options["public_key"])
        evidence = _read(options["file"], trusted)
        whose = (
            f"the key in {options['public_key']}"
            if options["public_key"]
            else ("this installation")
        )
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(evidence)))
            return
        document = evidence.document
        self.stdout.write(
            f"Valid: “{document['title']}”, as of {document['as_of']}, signed by {whose} "
            f"(SHA-256 {evidence.fingerprint})."
        )


def _as_json(evidence: Evidence) -> dict[str, object]:
    names = ("title", "as_of", "made_by", "project", "period")
    return {
        "is_valid": True,
        "signed_by": evidence.fingerprint,
        **{name: evidence.document[name] for name in names},
    }


def _trusted(path: Path | None) -> Ed25519PublicKey:
    """Read the key that the caller trusts: this installation's, unless a file has another."""
    if path is None:
        return public_key()
    try:
        with path.open("rb") as file:
            return parse_public_key(file.read(MAX_KEY_BYTES + 1))
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise CommandError(f"{path} is not a public key of evidence: {error}.") from error


def _read(path: Path, trusted: Ed25519PublicKey) -> Evidence:
    try:
        with path.open("rb") as file:
            return read_evidence(file, trusted)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except EvidenceError as error:
        raise CommandError(f"{path}: {error}") from error
