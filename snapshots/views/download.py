"""The download of one backup as a file."""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.generic import TemplateView

from backups_portal.accounts.reauthentication import RecentPasswordMixin
from snapshots.archive_download import open_download
from snapshots.errors import DownloadRefusedError
from snapshots.models import Snapshot
from snapshots.views.snapshot_mixins import SnapshotMixin


class DownloadView(SnapshotMixin, RecentPasswordMixin, TemplateView):
    """Describes the file, and streams it after the password was confirmed."""

    template_name = "snapshots/download.html"
    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        is_stored = self.snapshot.state == Snapshot.State.COMPLETED
        return self.render_to_response(self.get_context_data(), status=200 if is_stored else 409)

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            download = open_download(snapshot=self.snapshot, actor=self.account)
        except DownloadRefusedError as refused:
            return self.render_to_response(self.get_context_data(refusal=str(refused)), status=409)
        response = StreamingHttpResponse(download.pieces, content_type="application/zip")
        response["Content-Disposition"] = f'attachment; filename="{download.file_name}"'
        response["Cache-Control"] = "no-store"
        return response
