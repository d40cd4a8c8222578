"""Comparison of two backups, or of a backup and the database now."""

from collections.abc import Iterable, Sequence
from datetime import date
from functools import cached_property
from itertools import groupby
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.views.generic import TemplateView

from backups_portal.lib.loggers import get_logger
from snapshots.engine.difference import Change, DeviceChange, Difference, Effect
from snapshots.engine.errors import EngineError
from snapshots.models import Snapshot, SnapshotQuerySet
from snapshots.reports.contents import NO_DEVICE, label_of
from snapshots.reports.lost_rows import chunk_of, day_of
from snapshots.reports.resource_lines import SHOWN_AS
from snapshots.reports.snapshot_comparison import (
    MAX_ROWS_OF_PAGE,
    Compared,
    compare_snapshots,
    compare_with_now,
)
from snapshots.views.snapshot_mixins import SnapshotMixin

log = get_logger(__name__)

NOW = "now"
LINES = 25
# For any other backup, the form asks for its day.
MAX_CHOICES = 30
MAX_SAME_DEVICES = 200
WORST_FIRST = list(Effect)
# Kinds that a move of data from a restored project cannot replace.
NEVER_REPLACED = {"devices", "tokens", "run", "profile"}


class CompareView(SnapshotMixin, TemplateView):
    """What differs between this backup and another one, or the main database.

    Parameters of the address: `with` is the other backup's id or "now", or `on` its day; `by` is
    "days" for days instead of devices; `device` or `day` selects the days of one device, or the
    devices of one day.
    """

    template_name = "snapshots/compare.html"
    failure = ""

    @cached_property
    def stored(self) -> SnapshotQuerySet:
        """Return the backups that it can be compared with, newest first."""
        stored = Snapshot.objects.completed().not_newer().filter(project=self.project)
        others = stored.exclude(pk=self.snapshot.pk)
        return others.defer("table_rows").order_by("-taken_at", "-id")

    @cached_property
    def newest(self) -> list[Snapshot]:
        """Return the form's choices, plus one more if there are more."""
        shown = ("local_date", "taken_at", "state", "verdict")
        return list(self.stored.only(*shown)[: MAX_CHOICES + 1])

    @cached_property
    def other(self) -> Snapshot | None:
        """Return the backup to compare with; None for now or no choice."""
        if self.sought:
            return self.stored.filter(local_date=self.sought).first()
        chosen = self.request.GET.get("with", "")
        try:
            return self.stored.filter(pk=UUID(chosen)).first()
        except ValueError:
            return None

    @property
    def sought(self) -> date | None:
        """Return the day whose backup is asked for; it overrides `with`."""
        return _day(self.request.GET.get("on"))

    @property
    def chosen(self) -> str:
        """Return the form's choice: a backup's id, NOW or nothing."""
        if self.other or self.sought:
            return str(self.other.pk) if self.other else ""
        return self.request.GET.get("with", "")

    @property
    def choices(self) -> list[Snapshot]:
        """Return the form's backups: the newest ones and the chosen one."""
        named = self.newest[:MAX_CHOICES]
        return [*named, *([self.other] if self.other and self.other not in named else [])]

    @property
    def pair(self) -> tuple[Snapshot, Snapshot | None]:
        """Return the older and the newer one; None is the main database now."""
        if self.other and _taken(self.other) < _taken(self.snapshot):
            return self.other, self.snapshot
        return self.snapshot, self.other

    def compared(self) -> Compared | None:
        """Compare the pair; None if nothing is chosen, or with `failure` set."""
        with_now = self.chosen == NOW
        if self.snapshot.state != Snapshot.State.COMPLETED or not (self.other or with_now):
            return None
        before, after = self.pair
        try:
            if after is None:
                return compare_with_now(before, most_rows=MAX_ROWS_OF_PAGE)
            return compare_snapshots(before, after)
        except EngineError as error:
            log.warning("not compared", snapshot=self.snapshot.pk, exc_info=True)
            self.failure = str(error)
            return None

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        compared = self.compared()
        before, after = self.pair
        return {
            **super().get_context_data(**kwargs),
            "others": self.choices,
            "has_more": len(self.newest) > MAX_CHOICES,
            "chosen": self.chosen,
            "missed": None if self.other else self.sought,
            "before": before,
            "after": after,
            "compared": compared,
            "failure": self.failure,
            "most_rows": MAX_ROWS_OF_PAGE,
            **(self.lines(compared.difference) if compared else {}),
        }

    def lines(self, difference: Difference) -> dict[str, object]:
        """Return a page of the table that the address asks for."""
        device_id, day = self.request.GET.get("device"), _day(self.request.GET.get("day"))
        names = _names(difference)
        kinds = {SHOWN_AS.get(one.table) for one in difference.tables} - {None}
        rows: Sequence[Any]
        if device_id is not None:
            view, rows = "device", difference.of_device(device_id)
        elif day:
            view, rows = "day", difference.of_chunk(chunk_of(day))
        elif self.request.GET.get("by") == "days":
            view, rows = "days", difference.chunks
        else:
            view, rows = "devices", sorted(difference.devices, key=_by_loss)
        page = Paginator(_worst_first(rows), LINES).get_page(self.request.GET.get("page"))
        return {
            "view": view,
            "page": page,
            "groups": _grouped(page, names),
            "device_id": device_id,
            "device_name": names.get(device_id or "", NO_DEVICE),
            "day": day,
            "shown_as": SHOWN_AS,
            "has_other_settings": "devices" in kinds,
            "has_other_resources": bool(kinds - NEVER_REPLACED),
            "tables": [(label_of(one.table), one) for one in _worst_first(difference.tables)],
            "unlocated": difference.unlocated,
            "losers": sum(bool(change.lost) for change in difference.devices),
            "gainers": sum(bool(change.gained) for change in difference.devices),
            "same_devices": difference.same_devices[:MAX_SAME_DEVICES],
            "same_tables": [label_of(table) for table in difference.same_tables],
        }


def _worst_first(changes: Iterable[Any]) -> list[Any]:
    """Sort changes by effect, keeping the order within an effect."""
    return sorted(changes, key=lambda change: WORST_FIRST.index(change.effect))


def _grouped(changes: Iterable[Any], names: dict[str, str]) -> list[tuple[str, list[Any]]]:
    """Group a page of sorted changes by effect."""
    return [
        (effect, [_line(change, names) for change in group])
        for effect, group in groupby(changes, key=lambda change: change.effect)
    ]


def _line(change: Any, names: dict[str, str]) -> dict[str, object]:
    return {
        "item": change,
        "day": day_of(change.chunk) if hasattr(change, "chunk") else None,
        "name": names.get(getattr(change, "device_id", ""), NO_DEVICE),
    }


def _by_loss(change: DeviceChange) -> tuple[bool, int, int]:
    """Sort removed devices first, then those that lost most."""
    return change.change is not Change.REMOVED, -change.lost, -change.gained


def _names(difference: Difference) -> dict[str, str]:
    return {change.device_id: change.name or NO_DEVICE for change in difference.devices}


def _taken(snapshot: Snapshot) -> tuple[Any, UUID]:
    return snapshot.taken_at, snapshot.pk


def _day(text: str | None) -> date | None:
    """Parse a day of the address; None if it is missing or invalid."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
