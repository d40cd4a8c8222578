"""`manage.py rotate_keys`: wrap every project's data key with the first master key."""

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backups_portal.audit.services import record
from snapshots.engine.errors import StorageError
from snapshots.rotation import Rotated, rotate_each
from snapshots.storages import master_keys


def _where(rotated: Rotated) -> str:
    return " ".join(part for part in (rotated.place, rotated.folder) if part)


class Command(BaseCommand):
    """Rewrap data keys; rewrite nothing else, unless it was never encrypted."""

    help = (
        "Wraps the key of every project with the first master key of SNAPSHOT_MASTER_KEYS, so "
        "that the ones after it can go; in both storages, where there are two. No backup is "
        "rewritten. With `plain` among them, objects that were stored without encryption are "
        "encrypted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        masters = master_keys()
        if masters is None:
            raise CommandError("SNAPSHOT_MASTER_KEYS is empty: backups are not encrypted.")
        total, failed = Rotated(""), []
        try:
            for done in rotate_each(masters):
                total.rewrapped += done.rewrapped
                total.current += done.current
                total.encrypted += done.encrypted
                if done.error:
                    failed.append(done)
                    self.stderr.write(f"{_where(done)}: {done.error}")
        except StorageError as error:
            raise CommandError(str(error)) from error
        record(
            action="keys.rotated",
            actor=None,
            subject=masters.current,
            details={
                "rewrapped": total.rewrapped,
                "encrypted": total.encrypted,
                "failed": len(failed),
            },
        )
        self._print(masters.current, total, failed, as_json=options["json"])
        if failed:
            raise CommandError(
                f"{len(failed)} folders could not be finished. Leave every key where it is, mend "
                "what is named above, and run this again."
            )

    def _print(self, current: str, total: Rotated, failed: list[Rotated], *, as_json: bool) -> None:
        if as_json:
            counts = asdict(total)
            del counts["folder"], counts["place"], counts["error"]
            failures = {_where(one): one.error for one in failed}
            self.stdout.write(json.dumps({"master_key": current, **counts, "failed": failures}))
            return
        self.stdout.write(
            f"{total.rewrapped} keys wrapped with {current}, {total.current} were already; "
            f"{total.encrypted} objects encrypted that were not"
        )
        if not failed:
            self.stdout.write(f"Master keys other than {current} can go from SNAPSHOT_MASTER_KEYS.")
