"""Pagination of lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from django.core.paginator import Page, Paginator
from django.views.generic import ListView

Row = TypeVar("Row")


class ReadSome(Protocol[Row]):
    """Reads rows of a list: at most `most`, after skipping the first `first`."""

    def __call__(self, *, first: int, most: int) -> list[Row]: ...


@dataclass(frozen=True)
class _Asked(Generic[Row]):
    """A list that functions read, with the interface a paginator needs."""

    count: Callable[[], int]
    read: ReadSome[Row]

    def __len__(self) -> int:
        return self.count()

    def __getitem__(self, part: slice) -> list[Row]:
        first = part.start or 0
        return self.read(first=first, most=part.stop - first)


def page_of(count: Callable[[], int], read: ReadSome[Row], *, number: Any, size: int) -> Page[Row]:
    """Return a page of a list that functions count and read.

    Args:
        number: The requested page; if it is invalid, the nearest existing one is returned.
    """
    asked: Any = _Asked(count, read)
    page: Page[Row] = Paginator(asked, size).get_page(number)
    page.object_list = list(page.object_list)
    return page


class PagedView(ListView):
    """Shows the requested page, or the nearest existing one if it is invalid."""

    def paginate_queryset(
        self, queryset: Any, page_size: int
    ) -> tuple[Paginator[Any], Page[Any], Any, bool]:
        """Paginate as Django does, but without 404 for a page that does not exist."""
        page = self.get_paginator(queryset, page_size).get_page(self.page_number())
        return page.paginator, page, page.object_list, page.has_other_pages()

    def page_number(self) -> Any:
        """Return the requested page, unchecked."""
        return self.request.GET.get("page")
