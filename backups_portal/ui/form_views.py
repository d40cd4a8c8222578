"""Form pages that are shown again with their errors."""

import uuid
from http import HTTPStatus
from typing import Any

from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.deprecation import MiddlewareMixin
from django.views.generic import FormView

from backups_portal.lib.refusals import RefusedError


def key_of_request(page_key: uuid.UUID, *wanted: object) -> uuid.UUID:
    """Return the idempotency key of a submitted form.

    It is the same for a second click only. After going back, a browser shows the page with its old
    key, but changed values make another request.

    Args:
        page_key: Made with the page.
        wanted: The submitted values.
    """
    return uuid.uuid5(page_key, repr(wanted))


class RefusingFormView(FormView):
    """A form page that answers a refused form with an error status, not 200.

    A RefusedError from `form_valid` is shown at its fields.
    """

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Process the form if it is valid."""
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
        """Refuse a form with invalid fields."""
        return self.refuse(form)

    def refuse(self, form: Any, status: int = 400) -> HttpResponse:
        """Render the page again, with the form's errors."""
        return self.render_to_response(self.get_context_data(form=form), status=status)


class RefusedFormMiddleware(MiddlewareMixin):
    """Sets that status for other packages' views, which answer a refused form with 200."""

    def process_template_response(
        self, request: HttpRequest, response: TemplateResponse
    ) -> TemplateResponse:
        # htmx swaps a part in only if its status is a success.
        is_kept = request.method in ("GET", "HEAD") or "HX-Request" in request.headers
        forms = () if is_kept else (response.context_data or {}).values()
        is_refused = any(isinstance(form, BaseForm) and form.errors for form in forms)
        if is_refused and response.status_code == HTTPStatus.OK:
            response.status_code = HTTPStatus.BAD_REQUEST
        return response
