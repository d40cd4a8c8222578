"""Exports: files that are streamed while they are made."""

from collections.abc import Iterable

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.generic import View

CSV = "text/csv; charset=utf-8"


class ExportedFileView(View):
    """A file's address; HEAD returns its type without making it or auditing the access.

    Accounts that may not read the file are refused first, as with GET.
    """

    content_type = CSV

    def head(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Return the file's headers alone."""
        response = HttpResponse(content_type=self.content_type)
        response["Content-Disposition"] = "attachment"
        return response


def csv_response(name: str, lines: Iterable[str]) -> StreamingHttpResponse:
    """Stream lines of CSV as a file of this name."""
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(lines, content_type=CSV, headers=disposition)
