"""Lists in pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from django.core.paginator import Page, Paginator
from django.views.generic import ListView

Row = TypeVar("Row")


class ReadSome(Protocol[Row]):
    """Reads rows of a list: skips the `first` of them, and returns at `most` so many."""

    def __call__(self, *, first: int, most: int) -> list[Row]: ...


@dataclass(frozen=True)
class _Asked(Generic[Row]):
    """What a paginator wants of a list that no query set reads."""

    count: Callable[[], int]
    read: ReadSome[Row]

    def __len__(self) -> int:
        return self.count()

    def __getitem__(self, part: slice) -> list[Row]:
        first = part.start or 0
        return self.read(first=first, most=part.stop - first)


def page_of(count: Callable[[], int], read: ReadSome[Row], *, number: Any, size: int) -> Page[Row]:
    """Return a page of a list that functions count and read at once.

    Args:
        number: The page asked for; the nearest that exists where it is wrong.
    """
    asked: Any = _Asked(count, read)
    page: Page[Row] = Paginator(asked, size).get_page(number)
    page.object_list = list(page.object_list)
    return page


class PagedView(ListView):
    """Show the page asked for; the nearest that exists if the number is wrong."""

    def paginate_queryset(
        self, queryset: Any, page_size: int
    ) -> tuple[Paginator[Any], Page[Any], Any, bool]:
        """As Django's own, which answers 404 to a page that there is not."""
        page = self.get_paginator(queryset, page_size).get_page(self.page_number())
        return page.paginator, page, page.object_list, page.has_other_pages()

    def page_number(self) -> Any:
        """Return the page asked for, whatever was written there."""
        return self.request.GET.get("page")
