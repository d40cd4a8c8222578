"""Lists in pages."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.views.generic import ListView


class PagedView(ListView):
    """The page asked for; the nearest that exists where the number is wrong.

    What is listed is a query set or the rows of a compiled query, which the stubs do not know.
    """

    def paginate_queryset(
        self, queryset: Any, page_size: int
    ) -> tuple[Paginator[Any], Page[Any], Any, bool]:
        """As Django's own, which answers 404 to a page that there is not."""
        number = self.page_number()
        if isinstance(queryset, QuerySet):
            page = self.get_paginator(queryset, page_size).get_page(number)
        else:
            page = queryset.page(number, page_size)
        return page.paginator, page, page.object_list, page.has_other_pages()

    def page_number(self) -> Any:
        """The page asked for, whatever was written there."""
        return self.request.GET.get("page")
