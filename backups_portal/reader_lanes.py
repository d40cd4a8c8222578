"""Lanes for requests that read backups, so that a crowd of them does not hold up other pages.

Two hundred refusals by a view cost as much as two hundred pages, and later requests would queue for
a thread after them. The server's loop refuses requests by address alone, which reveals nothing
about what exists or who may see it.
"""

from collections.abc import Callable
from functools import cache, partial
from threading import BoundedSemaphore

from django.template import loader
from django.urls import Resolver404, resolve

from backups_portal.lib.wsgi_bridge import Refusal
from backups_portal.portal_api.problem_details import problem
from snapshots.reports.device_reading import FILES, READERS

# By the name of the route.
LANES = {
    "snapshot-device": READERS,
    "snapshot-device-variables": READERS,
    "snapshot-device-chart": READERS,
    "snapshot-resources": READERS,
    "snapshot-device-export": FILES,
    "portal-api:list_devices": READERS,
    "portal-api:list_records": READERS,
}
# All of these addresses, and few others, contain this.
PLACE = "/backups/"
FULL = "Others are looking into backups right now. Try again in {} seconds."


def lane_of(path: str) -> tuple[BoundedSemaphore, Callable[[], Refusal]] | None:
    """Return a request's lane, and the function that makes its refusal."""
    if PLACE not in path:
        return None
    try:
        found = resolve(path)
    except Resolver404:
        return None
    if (bulkhead := LANES.get(found.view_name)) is None:
        return None
    return bulkhead.lane, partial(_refusal, bulkhead.seconds, is_api=bool(found.namespace))


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
