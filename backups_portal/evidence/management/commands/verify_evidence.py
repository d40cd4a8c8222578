"""`manage.py verify_evidence FILE`: check an evidence file's signature."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.evidence.evidence_check import CheckError, check_file, read_key, verdict
from backups_portal.evidence.evidence_key import public_key
from backups_portal.evidence.signed_envelope import Evidence, fingerprint, pem


class Command(OperatorCommand):
    """Uses no database; `evidence/__main__.py` works without a portal, too."""

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

    def handle(self, *args: object, **options: Any) -> None:
        if options["print_key"]:
            self.stdout.write(pem(public_key()), ending="")
            self.stderr.write(f"SHA-256 {fingerprint(public_key())}")
            return
        if options["file"] is None:
            raise CommandError("Name the file of evidence.")
        key: Path | None = options["public_key"]
        try:
            evidence = check_file(options["file"], read_key(key) if key else public_key())
        except CheckError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.write_json(_as_json(evidence))
        else:
            self.stdout.write(
                verdict(evidence, f"the key in {key}" if key else "this installation")
            )


def _as_json(evidence: Evidence) -> dict[str, object]:
    names = ("title", "as_of", "made_by", "project", "period")
    return {
        "is_valid": True,
        "signed_by": evidence.fingerprint,
        **{name: evidence.document[name] for name in names},
    }
