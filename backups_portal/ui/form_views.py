"""Pages of forms that are shown again with what was wrong."""

from typing import Any

from django.http import HttpResponse
from django.views.generic import FormView


class RefusingFormView(FormView):
    """A form whose refusal has the status of an error, and not of a page that is fine."""

    def form_invalid(self, form: Any) -> HttpResponse:
        """Refuse what is filled in wrong."""
        return self.refuse(form)

    def refuse(self, form: Any, status: int = 400) -> HttpResponse:
        """Render the page again, with what was wrong."""
        return self.render_to_response(self.get_context_data(form=form), status=status)
