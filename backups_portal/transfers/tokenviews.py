"""The tokens of a project, for whoever has to put new ones where old ones were."""

from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.generic import TemplateView, View
from psycopg import Connection

from backups_portal.accounts.recent import RecentPasswordMixin
from backups_portal.audit.services import address_of, record
from backups_portal.lib.compiled import compiled
from backups_portal.projects.access import Permission
from backups_portal.projects.connections import keyring, project_dsn
from backups_portal.projects.mixins import ProjectPermissionMixin
from backups_portal.projects.models import Project
from backups_portal.transfers.tokenlist import (
    all_tokens,
    count_tokens,
    read_tokens,
    reveal_token,
)
from backups_portal.ui.behind import ListBehindMixin
from backups_portal.ui.paging import page_of
from backups_portal.ui.spreadsheets import csv_line
from restores.models import Restore

UNREACHABLE = "The project's database does not answer now."
PAGE = 25
HEADERS = ("kind", "resource id", "resource", "token", "old last four", "new last four", "replaced")


@compiled
def _restores(project_id: UUID) -> QuerySet[Restore]:
    return Restore.objects.filter(project_id=project_id).only("pk")


class TokensView(ProjectPermissionMixin, RecentPasswordMixin, ListBehindMixin, TemplateView):
    """Tokens by resource; a value is shown when somebody asks for it, one at a time."""

    permission = Permission.MANAGE_API
    # The list shows no value; a reveal does.
    password_for = ("POST",)
    template_name = "transfers/tokens.html"
    list_template_name = "transfers/_token_list.html"
    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show()

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The page with one value on it; who has seen it is written down first."""
        try:
            with _open(self.project) as connection:
                found = reveal_token(connection, request.POST.get("token", ""), keys=keyring())
        except psycopg.Error:
            return self.show()
        if found is None:
            raise Http404("no such token")
        token, value = found
        record(
            action="token.revealed",
            actor=self.account,
            project=self.project,
            subject=token.resource or token.name,
            details={"kind": token.kind, "last_four": token.new_last_four},
            address=address_of(request),
        )
        return self.show(revealed=token, value=value)

    def show(self, **context: Any) -> HttpResponse:
        """The page; unless the list is wanted, it does not wait for the project's database."""
        context["restore"] = _restores(self.project.pk).first()
        if self.request.method == "POST" or self.is_list_wanted:
            context |= self._listed()
        return self.render_to_response(self.get_context_data(**context))

    def _listed(self) -> dict[str, Any]:
        sought = (self.request.POST.get("q") or self.request.GET.get("q", "")).strip()
        number = self.request.POST.get("page") or self.request.GET.get("page")
        try:
            with _open(self.project) as connection:
                page = page_of(
                    partial(count_tokens, connection, sought=sought),
                    partial(read_tokens, connection, sought=sought),
                    number=number,
                    size=PAGE,
                )
                return {"sought": sought, "page_obj": page, "tokens": page.object_list}
        except psycopg.Error:
            return {"unreachable": UNREACHABLE}


class TokensCsvView(ProjectPermissionMixin, View):
    """The checklist: each token with the last characters of the old one and its own, no values."""

    permission = Permission.MANAGE_API
    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            connection = _open(self.project)
        except psycopg.Error:
            return HttpResponse(UNREACHABLE, status=503, content_type="text/plain")
        response = StreamingHttpResponse(_lines(connection), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{self.project.slug}-tokens.csv"'
        return response


def _open(project: Project) -> Connection[Any]:
    return psycopg.connect(project_dsn(project), connect_timeout=10)


def _lines(connection: Connection[Any]) -> Iterator[str]:
    with connection:
        yield csv_line(HEADERS)
        for token in all_tokens(connection):
            yield csv_line(
                (
                    token.kind,
                    token.resource_id,
                    token.resource,
                    token.name,
                    token.old_last_four,
                    token.new_last_four,
                    # For whoever works through the list.
                    "",
                )
            )
