"""Pagination of long lists."""

from typing import Annotated, Any, Generic, TypeVar

from django.db.models import QuerySet
from ninja import Field, Query, Schema

Item = TypeVar("Item")
MAX_ITEMS = 100


class PageOf(Schema):
    """Which part of a list is asked for."""

    page: int = Field(1, ge=1, le=1_000_000, description="From 1")
    limit: int = Field(50, ge=1, le=MAX_ITEMS, description="Items per page")


Pages = Annotated[PageOf, Query()]


class Page(Schema, Generic[Item]):
    """A part of a list; `next_page` is null on the last one."""

    items: list[Item]
    count: int = Field(description="Items on all pages")
    page: int
    next_page: int | None


def cut(rows: "QuerySet[Any]", pages: PageOf) -> tuple[list[Any], dict[str, Any]]:
    """Return the rows of a page, and the other members of `Page`."""
    count = rows.count()
    start = (pages.page - 1) * pages.limit
    found = list(rows[start : start + pages.limit]) if start < count else []
    has_more = start + pages.limit < count
    return found, {
        "count": count,
        "page": pages.page,
        "next_page": pages.page + 1 if has_more else None,
    }
