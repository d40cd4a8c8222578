"""Lists that load after their page, because their source may be slow or down.

The page has a placeholder that requests `?list=now` once it is shown; the same address returns the
whole page with its list to browsers without scripts and for searches. See
.github/decisions/0015-pages-do-not-wait-for-other-databases.md.
"""

from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.views.generic.base import TemplateResponseMixin, View


class ListBehindMixin(TemplateResponseMixin, View):
    """A page whose list is also rendered on its own."""

    list_template_name: str

    @property
    def is_part(self) -> bool:
        """Tell whether the page requests its list alone."""
        return self.request.method == "GET" and "HX-Request" in self.request.headers

    @property
    def is_list_wanted(self) -> bool:
        """Tell whether the request includes the list, alone or with the page."""
        return self.request.GET.get("list") == "now"

    def get_template_names(self) -> list[str]:
        return [self.list_template_name] if self.is_part else super().get_template_names()

    def render_to_response(self, context: dict[str, Any], **response_kwargs: Any) -> HttpResponse:
        """Render the page or its list, uncached.

        Args:
            context: Contains `unreachable` if the list could not be read.
        """
        # htmx shows a part only if the status is a success.
        if "unreachable" in context and not self.is_part and not response_kwargs.get("status"):
            response_kwargs["status"] = HTTPStatus.SERVICE_UNAVAILABLE
        response = super().render_to_response(context, **response_kwargs)
        add_never_cache_headers(response)
        patch_vary_headers(response, ["HX-Request"])
        return response
