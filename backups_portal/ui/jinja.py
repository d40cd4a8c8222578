"""Jinja2 for what pages have much of: their frame and the lines of their lists.

It renders the same names as Django's templates do, about ten times as fast; see
.github/decisions/0008-lists-are-rendered-by-jinja.md.
"""

from collections.abc import Callable
from functools import cache, lru_cache, partial
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.template.defaultfilters import capfirst, pluralize
from django.urls import reverse
from jinja2 import Environment
from markupsafe import Markup

from backups_portal.ui.templatetags import portal
from backups_portal.ui.zones import viewers_zone

# Ids that no address has by itself, in place of which others are put.
NO_ID, NO_NUMBER = UUID(int=0), 2**62
FILTERS = ("data_size", "duration", "roughly", "money", "price", "tone")
FUNCTIONS = ("ago", "badge", "clock", "day", "icon", "in_utc", "moment", "url")


def environment(**options: Any) -> Environment:
    """What settings name: Jinja2 with the helpers of the pages."""
    made = Environment(  # noqa: S701 - the backend of Django switches escaping on
        **options, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {name: getattr(portal, name) for name in FILTERS}
    made.filters |= {
        "intcomma": "{:,}".format,
        "pluralize": pluralize,
        "capitalize_first": capfirst,
    }
    made.globals |= {name: getattr(portal, name) for name in FUNCTIONS}
    made.globals |= {"viewers_zone": viewers_zone}
    made.globals |= {"url_of_each": url_of_each, "url_of_each_number": url_of_each_number}
    made.globals |= {"for_each_id": for_each_id, "address_of_page": address_of_page}
    return made


def address_of_page(request: HttpRequest, number: int) -> str:
    """Another page of a list, with what else the address asks for."""
    query = request.GET.copy()
    query["page"] = str(number)
    return f"?{query.urlencode()}"


@lru_cache(maxsize=4096)
def url_of_each(name: str, *arguments: object) -> Callable[[UUID], str]:
    """The addresses of pages that differ in their last argument alone, an id, worked out once."""
    return _parts(reverse(name, args=[*arguments, NO_ID]), NO_ID)


@lru_cache(maxsize=4096)
def url_of_each_number(name: str, *arguments: object) -> Callable[[int], str]:
    """The same where the last argument is a number."""
    return _parts(reverse(name, args=[*arguments, NO_NUMBER]), NO_NUMBER)


def for_each_id(part: Callable[..., str]) -> Callable[..., Markup]:
    """A macro whose first argument is an id, rendered once for all ids alike in the others."""
    placeholder = str(NO_ID)

    @cache
    def rendered(*others: object) -> str:
        return str(part(placeholder, *others))

    def of(pk: UUID, *others: object) -> Markup:
        return Markup(rendered(*others).replace(placeholder, str(pk)))  # noqa: S704 - of a macro

    return of


def _parts(address: str, placeholder: object) -> Callable[[object], str]:
    before, _, after = address.rpartition(str(placeholder))
    return partial(_address, before, after)


def _address(before: str, after: str, pk: object) -> str:
    return f"{before}{pk}{after}"
