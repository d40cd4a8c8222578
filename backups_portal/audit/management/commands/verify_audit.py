"""The command that compares the audit log with its seals."""

from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from backups_portal.audit.hash_chain import verify
from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.ui.formats import count


class Command(OperatorCommand):
    """Verifies the chain with the installation's key, without changing anything."""

    help = "Check that no event of the audit log was changed or removed since it was sealed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--expect",
            metavar="POSITION:SEAL",
            help=(
                "a seal that you noted elsewhere, such as from the log: reveals events cut off at "
                "the end"
            ),
        )

    def handle(self, *args: object, **options: Any) -> None:
        verdict = verify(_expected(options["expect"]))
        if options["json"]:
            self.write_json(asdict(verdict))
        else:
            self.stdout.write(
                f"{count(verdict.sealed, 'event')} as sealed, {verdict.unsealed:,} not sealed yet. "
                f"The last seal: {verdict.sealed}:{verdict.seal}"
            )
        if verdict.broken:
            raise CommandError(f"The audit log does not match its seals. {verdict.broken}")


def _expected(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    position, _, seal = text.partition(":")
    if not (position.isascii() and position.isdigit()) or len(seal) != 64:
        raise CommandError("Write the position and its seal as POSITION:SEAL, as this prints it.")
    return int(position), seal.lower()
