"""Lanes for requests that read backups, so that a crowd of them does not hold up other pages.

Two hundred refusals by a view cost as much as two hundred pages, and whoever comes later waits
behind them for a thread. The server's loop refuses them by their address alone: that says nothing
of what there is, and to whom.
"""

from functools import cache

from django.template import loader
from django.urls import Resolver404, resolve

from backups_portal.lib.bulkhead import Bulkhead, Lane
from backups_portal.lib.wsgi_bridge import Refusal
from backups_portal.portal_api.problem_details import problem
from snapshots.reports.device_reading import FILES, READERS

# By the names of addresses.
LANES = {
    "snapshot-device": READERS,
    "snapshot-device-variables": READERS,
    "snapshot-device-chart": READERS,
    "snapshot-resources": READERS,
    "snapshot-device-export": FILES,
    "portal-api:list_devices": READERS,
    "portal-api:list_records": READERS,
}
# All of them are below here, and few others.
PLACE = "/backups/"
FULL = "Others are looking into backups right now. Try again in {} seconds."


def lane_of(path: str) -> tuple[Lane, "_Refused"] | None:
    """Return the lane of a request, and what refuses it."""
    if PLACE not in path:
        return None
    try:
        found = resolve(path)
    except Resolver404:
        return None
    bulkhead = LANES.get(found.view_name)
    return (bulkhead.lane, _Refused(bulkhead, found.namespace)) if bulkhead else None


class _Refused:
    """Makes the answer to a request for which there is no place."""

    def __init__(self, bulkhead: Bulkhead, namespace: str) -> None:
        self._bulkhead, self._namespace = bulkhead, namespace

    def __call__(self) -> Refusal:
        return _refusal(self._bulkhead.seconds, is_api=bool(self._namespace))


@cache
def _refusal(seconds: int, *, is_api: bool) -> Refusal:
    headers = [
        ("Retry-After", str(seconds)),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'self'"),
    ]
    if is_api:
        answer = problem(503, FULL.format(seconds))
        return Refusal(503, [("Content-Type", answer["Content-Type"]), *headers], answer.content)
    page = loader.get_template("503_busy.html").render({"seconds": seconds})
    return Refusal(503, [("Content-Type", "text/html; charset=utf-8"), *headers], page.encode())
