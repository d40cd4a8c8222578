"""One backup as a file."""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from backups_portal.accounts.lockout_page import locked_page
from backups_portal.audit.recorder import address_of
from backups_portal.ui.form_views import RefusingFormView
from snapshots.archive_download import open_download
from snapshots.errors import DownloadRefusedError, TooManyTriesError, WrongPasswordError
from snapshots.forms import DownloadForm
from snapshots.models import Snapshot
from snapshots.views.snapshot_mixins import SnapshotMixin


class DownloadView(SnapshotMixin, RefusingFormView):
    """Says what the file will have, asks for the password again, and streams it."""

    template_name = "snapshots/download.html"
    form_class = DownloadForm
    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        is_stored = self.snapshot.state == Snapshot.State.COMPLETED
        return self.render_to_response(self.get_context_data(), status=200 if is_stored else 409)

    def get_context_data(self, **kwargs: object) -> dict[str, object]:
        return {
            **super().get_context_data(**kwargs),
            "snapshot": self.snapshot,
            "zone": self.project.main_database.backup_time_zone,
        }

    def form_valid(  # type: ignore[override]  # the stubs know no stream here
        self, form: DownloadForm
    ) -> HttpResponseBase:
        try:
            download = open_download(
                snapshot=self.snapshot,
                actor=self.account,
                password=form.cleaned_data["password"],
                address=address_of(self.request),
            )
        except TooManyTriesError as refused:
            return locked_page(self.request, refused.seconds)
        except WrongPasswordError as refused:
            form.add_error("password", str(refused))
            return self.form_invalid(form)
        except DownloadRefusedError as refused:
            form.add_error(None, str(refused))
            return self.refuse(form, 409)
        response = StreamingHttpResponse(download.pieces, content_type="application/zip")
        response["Content-Disposition"] = f'attachment; filename="{download.file_name}"'
        response["Cache-Control"] = "no-store"
        return response
