"""`manage.py rotate_keys`: wrap all data keys with the first master key."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.audit.recorder import record
from backups_portal.ui.formats import count
from snapshots.storages.configured_storages import FIRST, master_keys
from snapshots.storages.key_rotation import Rotated, places_left_out, rotate_each

COUNTS = ("rewrapped", "current", "encrypted")


class Command(OperatorCommand):
    """Rewrap data keys; rewrite objects only if they were never encrypted."""

    help = (
        "Wrap the key of every project with the first master key of SNAPSHOT_MASTER_KEYS, in "
        "every storage, so that the other keys can be removed. No backup is rewritten. If `plain` "
        "is among the keys, unencrypted objects are encrypted. Prints a verdict for each storage, "
        "and fails unless all are finished: until then, remove no key."
    )

    def handle(self, *args: object, **options: Any) -> None:
        masters = master_keys()
        if masters is None:
            raise CommandError("SNAPSHOT_MASTER_KEYS is empty: backups are not encrypted.")
        # A command killed later has rewrapped keys, but logs no end.
        record(action="keys.rotation_started", actor=None, subject=masters.current)
        storages = []
        for rotated in rotate_each(masters):
            storages.append(rotated)
            if not options["json"]:
                self._print(masters.current, rotated)
        total = {name: sum(getattr(one, name) for one in storages) for name in COUNTS}
        failed = {
            _where(one, folder): why for one in storages for folder, why in one.failed.items()
        }
        record(
            action="keys.rotated",
            actor=None,
            subject=masters.current,
            details={
                "rewrapped": total["rewrapped"],
                "encrypted": total["encrypted"],
                "failed": len(failed),
            },
        )
        left_out = places_left_out()
        if options["json"]:
            document = {
                "master_key": masters.current,
                **total,
                "failed": failed,
                "storages": [{**asdict(one), "is_finished": one.is_finished} for one in storages],
                "left_out": left_out,
                "old_keys_may_go": not failed,
            }
            self.write_json(document)
        if failed:
            raise CommandError(_refusal(storages))
        if not options["json"]:
            self._say_what_may_go(masters.current, left_out)

    def _print(self, current: str, rotated: Rotated) -> None:
        verdict = "finished" if rotated.is_finished else "NOT FINISHED"
        self.stdout.write(
            f"{rotated.name} ({rotated.place}): {verdict}; {count(rotated.rewrapped, 'key')} "
            f"wrapped with {current}, {rotated.current:,} already; "
            f"{count(rotated.encrypted, 'object')} newly encrypted"
        )
        for folder, why in rotated.failed.items():
            self.stderr.write(f"{_where(rotated, folder)}: {why}")
        if rotated.foreign:
            self.stdout.write(f"Left alone (not the portal's): {', '.join(rotated.foreign)}")

    def _say_what_may_go(self, current: str, left_out: list[str]) -> None:
        self.stdout.write(
            f"You can remove master keys other than {current} from SNAPSHOT_MASTER_KEYS once "
            f"every process of the portal runs with {current} as the first."
        )
        for place in left_out:
            self.stdout.write(
                f"Copies were made in {place}, which the settings no longer name. To read them, "
                "keep the old keys."
            )


def _where(rotated: Rotated, folder: str) -> str:
    name = rotated.name if not folder or rotated.name != FIRST else ""
    return " ".join(part for part in (name, folder) if part)


def _refusal(storages: list[Rotated]) -> str:
    names = [one.name for one in storages if not one.is_finished]
    folders = sum(len(one.failed) for one in storages)
    return (
        f"{' and '.join(names)} could not be finished ({count(folders, 'folder')}). Keep every "
        "key, fix what is listed above, and run this again."
    )
