"""Jinja2 for what pages have much of: their frame and the lines of their lists.

It renders the same names as Django's templates do, about ten times as fast; see
.github/decisions/0008-lists-are-rendered-by-jinja.md.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from django.contrib.humanize.templatetags.humanize import intcomma
from django.template.defaultfilters import capfirst, pluralize
from django.urls import reverse
from jinja2 import Environment

from backups_portal.ui.templatetags import portal
from backups_portal.ui.zones import viewers_zone

# Ids that no address has by itself, in place of which others are put.
NO_ID, NO_NUMBER = UUID(int=0), 2**62
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
    made.globals |= {"url": url, "viewers_zone": viewers_zone}
    made.globals |= {"url_of_each": url_of_each, "url_of_each_number": url_of_each_number}
    return made


@lru_cache(maxsize=4096)
def url(name: str, *arguments: object) -> str:
    """The address of a page. Remembered: the side bar alone has ten of them."""
    return reverse(name, args=arguments)


def url_of_each(name: str, *arguments: object) -> Callable[[UUID], str]:
    """The addresses of pages that differ in their last argument alone, an id, worked out once."""
    return _parts(reverse(name, args=[*arguments, NO_ID]), NO_ID)


def url_of_each_number(name: str, *arguments: object) -> Callable[[int], str]:
    """The same where the last argument is a number."""
    return _parts(reverse(name, args=[*arguments, NO_NUMBER]), NO_NUMBER)


def _parts(address: str, placeholder: object) -> Callable[[object], str]:
    before, _, after = address.rpartition(str(placeholder))
    return partial(_address, before, after)


def _address(before: str, after: str, pk: object) -> str:
    return f"{before}{pk}{after}"
