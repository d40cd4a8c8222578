"""Two backups side by side, or a backup and now."""

import logging
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.views.generic import TemplateView

from backups_portal.lib.compiled import compiled
from snapshots.comparing import (
    MOST_ROWS_FOR_A_PAGE,
    Compared,
    compare_snapshots,
    compare_with_now,
)
from snapshots.contents import labels_of
from snapshots.engine.difference import Difference
from snapshots.engine.errors import EngineError
from snapshots.finding import chunk_of, day_of
from snapshots.inside import NO_DEVICE
from snapshots.mixins import SnapshotMixin
from snapshots.models import Snapshot, SnapshotQuerySet

log = logging.getLogger(__name__)

NOW = "now"
LINES = 25
# Of others, a day is asked for.
MOST_CHOICES = 30


def _stored(project_id: UUID) -> SnapshotQuerySet:
    stored = Snapshot.objects.completed().filter(project_id=project_id)
    return stored.defer("table_rows").order_by("-taken_at", "-id")


@compiled
def _others(project_id: UUID, pk: UUID) -> QuerySet[Snapshot]:
    return _stored(project_id).filter(~Q(pk=pk)).only("local_date", "taken_at")


class CompareView(SnapshotMixin, TemplateView):
    """What differs between this backup and another one, or the main database.

    In the address: `with` is the other backup's id or "now", or `on` the day of it; `by` is "days"
    for the days instead of the devices; `device` or `day` asks for the days of one device, or the
    devices of one day.
    """

    http_method_names = ["get", "head"]
    template_name = "snapshots/compare.html"
    failure = ""

    @cached_property
    def stored(self) -> SnapshotQuerySet:
        """The backups that it can be compared with, the newest first."""
        return _stored(self.project.pk).exclude(pk=self.snapshot.pk)

    @cached_property
    def newest(self) -> list[Snapshot]:
        """Those that can be chosen by name (as far as a form shows them), and one more where there
        are more.
        """
        others = _others(self.project.pk, self.snapshot.pk)
        return others[: MOST_CHOICES + 1]

    @cached_property
    def other(self) -> Snapshot | None:
        """The backup that it is compared with; None for now, and where none is chosen."""
        if self.sought:
            return self.stored.filter(local_date=self.sought).first()
        chosen = self.request.GET.get("with", "")
        try:
            return self.stored.filter(pk=UUID(chosen)).first()
        except ValueError:
            return None

    @property
    def sought(self) -> date | None:
        """The day whose backup is asked for, which counts more than a name."""
        return _day(self.request.GET.get("on"))

    @property
    def chosen(self) -> str:
        """What the form shows as chosen: a backup's id, NOW or nothing."""
        if self.other or self.sought:
            return str(self.other.pk) if self.other else ""
        return self.request.GET.get("with", "")

    @property
    def choices(self) -> list[Snapshot]:
        """The backups that the form names: the newest, and the one that was chosen."""
        named = self.newest[:MOST_CHOICES]
        return [*named, *([self.other] if self.other and self.other not in named else [])]

    @property
    def pair(self) -> tuple[Snapshot, Snapshot | None]:
        """The older and the newer one; None is the main database now."""
        if self.other and _taken(self.other) < _taken(self.snapshot):
            return self.other, self.snapshot
        return self.snapshot, self.other

    def compared(self) -> Compared | None:
        """What differs; None where nothing is chosen, and where `failure` says why not."""
        with_now = self.chosen == NOW
        if self.snapshot.state != Snapshot.State.COMPLETED or not (self.other or with_now):
            return None
        before, after = self.pair
        try:
            if after is None:
                return compare_with_now(before, most_rows=MOST_ROWS_FOR_A_PAGE)
            return compare_snapshots(before, after)
        except EngineError as error:
            log.warning("not compared snapshot=%s", self.snapshot.pk, exc_info=True)
            self.failure = str(error)
            return None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        compared = self.compared()
        before, after = self.pair
        return {
            **super().get_context_data(**kwargs),
            "snapshot": self.snapshot,
            "others": self.choices,
            "has_more": len(self.newest) > MOST_CHOICES,
            "chosen": self.chosen,
            "missed": None if self.other else self.sought,
            "before": before,
            "after": after,
            "compared": compared,
            "failure": self.failure,
            "most_rows": MOST_ROWS_FOR_A_PAGE,
            "zone": self.project.main_database.backup_time_zone,
            **(self.lines(compared.difference) if compared else {}),
        }

    def lines(self, difference: Difference) -> dict[str, Any]:
        """The table that the address asks for, a page of it."""
        device_id, day = self.request.GET.get("device"), _day(self.request.GET.get("day"))
        names = _names(difference)
        rows: Sequence[Any]
        if device_id is not None:
            view, rows = "device", difference.of_device(device_id)
        elif day:
            view, rows = "day", difference.of_chunk(chunk_of(day))
        elif self.request.GET.get("by") == "days":
            view, rows = "days", difference.chunks
        else:
            view, rows = "devices", difference.devices
        page = Paginator(rows, LINES).get_page(self.request.GET.get("page"))
        return {
            "view": view,
            "page": page,
            "lines": [
                {
                    "item": item,
                    "day": day_of(item.chunk) if hasattr(item, "chunk") else None,
                    "name": names.get(getattr(item, "device_id", ""), NO_DEVICE),
                }
                for item in page
            ],
            "device_name": names.get(device_id or "", NO_DEVICE),
            "day": day,
            "tables": labels_of(difference.tables),
            "unlocated": [
                (
                    day_of(part.first) if part.first is not None else None,
                    day_of(part.end) if part.end is not None else None,
                )
                for part in difference.unlocated
            ],
        }


def _names(difference: Difference) -> dict[str, str]:
    return {change.device_id: change.name or NO_DEVICE for change in difference.devices}


def _taken(snapshot: Snapshot) -> tuple[Any, UUID]:
    return snapshot.taken_at, snapshot.pk


def _day(text: str | None) -> date | None:
    """The day that an address names; None where it names none that there is."""
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
