"""Jinja2 for what pages have much of: their frame and the lines of their lists.

It renders the same names as Django's templates do, about ten times as fast; see
.github/decisions/0008-lists-are-rendered-by-jinja.md.
"""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.humanize.templatetags.humanize import intcomma
from django.template.defaultfilters import capfirst, pluralize
from django.urls import reverse
from jinja2 import Environment

from backups_portal.ui.templatetags import portal
from backups_portal.ui.zones import viewers_zone

NO_ID = UUID(int=0)
FILTERS = ("data_size", "duration", "roughly", "money", "price", "tone")
FUNCTIONS = ("ago", "badge", "clock", "day", "icon", "in_utc", "moment")


def environment(**options: Any) -> Environment:
    """What settings name: Jinja2 with the helpers of the pages."""
    made = Environment(  # noqa: S701 - the backend of Django switches escaping on
        **options, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {name: getattr(portal, name) for name in FILTERS}
    made.filters |= {"intcomma": intcomma, "pluralize": pluralize, "capitalize_first": capfirst}
    made.globals |= {name: getattr(portal, name) for name in FUNCTIONS}
    made.globals |= {"url": url, "url_of_each": url_of_each, "viewers_zone": viewers_zone}
    return made


def url(name: str, *arguments: object) -> str:
    """The address of a page."""
    return reverse(name, args=arguments)


def url_of_each(name: str, *arguments: object) -> Callable[[UUID], str]:
    """The addresses of pages that differ in their last argument alone, an id, worked out once."""
    before, _, after = reverse(name, args=[*arguments, NO_ID]).rpartition(str(NO_ID))
    return partial(_address, before, after)


def _address(before: str, after: str, pk: UUID) -> str:
    return f"{before}{pk}{after}"
