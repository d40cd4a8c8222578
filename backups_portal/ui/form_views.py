"""Pages of forms that are shown again with what was wrong."""

import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.views.generic import FormView

from backups_portal.lib.refusals import RefusedError


def key_of_request(page_key: uuid.UUID, *wanted: object) -> uuid.UUID:
    """Return the key of what a form asks for: the same for a second click, and for nothing else.

    A browser that goes back shows the page with its key; what is changed there is another request.

    Args:
        page_key: Made with the page.
        wanted: What the form was filled in with.
    """
    return uuid.uuid5(page_key, repr(wanted))


class RefusingFormView(FormView):
    """A form whose refusal has the status of an error, and not of a page that is fine.

    What `form_valid` raises as RefusedError is shown at its fields.
    """

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Do what a valid form asks for."""
        form = self.get_form()
        if not form.is_valid():
            return self.form_invalid(form)
        try:
            return self.form_valid(form)
        except RefusedError as refused:
            for field, message in refused.errors.items():
                form.add_error(field, message)
            return self.refuse(form, refused.status)

    def form_invalid(self, form: Any) -> HttpResponse:
        """Refuse what is filled in wrong."""
        return self.refuse(form)

    def refuse(self, form: Any, status: int = 400) -> HttpResponse:
        """Render the page again, with what was wrong."""
        return self.render_to_response(self.get_context_data(form=form), status=status)


class RefusedFormMiddleware:
    """Give the forms of other packages that status, which show a refused one as a page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_template_response(
        self, request: HttpRequest, response: TemplateResponse
    ) -> TemplateResponse:
        is_read = request.method in ("GET", "HEAD")
        forms = () if is_read else (response.context_data or {}).values()
        is_refused = any(isinstance(form, BaseForm) and form.errors for form in forms)
        if is_refused and response.status_code == HTTPStatus.OK:
            response.status_code = HTTPStatus.BAD_REQUEST
        return response
