"""The page behind the link that turns a weekly digest off."""

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import TemplateView

from backups_portal.notifications.digest_link import reader_of_link
from backups_portal.notifications.notification_settings import settings_of, turn_off_digest


# The signed link identifies the owner; mail programs post the form without loading the page, so
# without a CSRF token.
@method_decorator([login_not_required, csrf_exempt, never_cache], name="dispatch")
class DigestOffView(TemplateView):
    """Asks before it turns a digest off, as programs may follow any link."""

    template_name = "notifications/digest_off.html"
    http_method_names = ["get", "head", "post"]

    def setup(self, request: HttpRequest, *args: object, **kwargs: object) -> None:
        super().setup(request, *args, **kwargs)
        self._reader = reader_of_link(self.kwargs["signed"])

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        if self._reader is None:
            raise Http404("no such link")
        is_on = settings_of(self._reader.project).next_digest_at is not None
        return super().get_context_data(about=self._reader.project, is_on=is_on, **kwargs)

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if self._reader is None:
            raise Http404("no such link")
        account, project = self._reader
        turn_off_digest(project=project, actor=account)
        return self.render_to_response(self.get_context_data())
