"""The environment of all templates: Jinja2 with the filters and functions of pages."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.template import defaultfilters
from django.templatetags.static import static
from django.urls import reverse
from jinja2 import Environment, Undefined
from markupsafe import Markup

from backups_portal.ui import formats, moments
from backups_portal.ui.form_errors import errors_of_the_whole, fields_with_errors, first_focus
from backups_portal.ui.form_widgets import control
from backups_portal.ui.viewer_time_zone import viewers_zone
from backups_portal.ui.visible_names import seen_name

ICONS = Path("templates", "_components", "icons")
STATE_TONES = {
    "active": "good",
    "completed": "good",
    "passed": "good",
    "sent": "good",
    "met": "good",
    "stored": "kept",
    "running": "busy",
    "queued": "waiting",
    "ready": "waiting",
    "paused": "waiting",
    "failed": "bad",
    "missed": "bad",
    "not_run": "waiting",
}


def environment(**options: Any) -> Environment:
    """Make the environment for TEMPLATES; Django turns on autoescaping."""
    made = Environment(**options, trim_blocks=True, lstrip_blocks=True)  # noqa: S701
    made.filters |= FILTERS
    made.globals |= {**GLOBALS, "icon": _icons()}
    return made


def _or_dash(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a filter that shows an em dash for an unknown value.

    Reports stored by older versions may lack some numbers.
    """

    def shown(value: Any) -> str:
        return moments.UNKNOWN if value is None or isinstance(value, Undefined) else write(value)

    return shown


def tone(state: str) -> str:
    """Return the style of a state: good, kept, busy, waiting, bad or quiet."""
    return STATE_TONES.get(state, "quiet")


@lru_cache(maxsize=4096)
def url(name: str, *arguments: object) -> str:
    """Return the address of a page by its name.

    Cached, because a list of 25 backups has 150 addresses, for which `reverse` needs 6 ms, as long
    as the rest of the page takes.
    """
    return reverse(name, args=arguments)


def querystring(request: HttpRequest, **changes: object) -> str:
    """Return a request's query with changed parameters; None removes one."""
    query = request.GET.copy()
    for name, value in changes.items():
        query.pop(name, None)
        if value is not None:
            query[name] = str(value)
    return f"?{query.urlencode()}"


def _icons() -> Callable[[str], Markup]:
    """Read the inline icons; as the portal's own files they need no escaping."""
    folder = Path(settings.BASE_DIR) / ICONS
    icons = {path.stem: Markup(path.read_text()) for path in folder.glob("*.svg")}  # noqa: S704
    return icons.__getitem__


FILTERS: dict[str, Callable[..., object]] = {
    "capfirst": defaultfilters.capfirst,
    "control": control,
    "data_size": _or_dash(formats.data_size),
    "day": moments.day,
    "date": defaultfilters.date,
    "duration": _or_dash(formats.duration),
    "full_day": formats.day,
    "errors_of_the_whole": errors_of_the_whole,
    "fields_with_errors": fields_with_errors,
    "first_focus": first_focus,
    "intcomma": _or_dash("{:,}".format),
    "money": formats.money,
    "pluralize": defaultfilters.pluralize,
    "price": formats.price,
    "roughly": formats.roughly,
    "seen": seen_name,
    "slugify": defaultfilters.slugify,
    "timesince": defaultfilters.timesince_filter,
    "tone": tone,
}
GLOBALS: dict[str, Callable[..., object]] = {
    "ago": moments.ago,
    "clock": moments.clock,
    "dated": moments.dated,
    "day_of": moments.day_of,
    "exact_moment": moments.exact_moment,
    "in_utc": moments.in_utc,
    "moment": moments.moment,
    "querystring": querystring,
    "static": static,
    "url": url,
    "viewers_zone": viewers_zone,
}
