"""The page and export of a project's tokens, for owners who replace old ones."""

from collections.abc import Iterable, Iterator
from dataclasses import astuple
from functools import partial

import psycopg
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.generic import TemplateView
from psycopg import Connection

from backups_portal.accounts.reauthentication import RecentPasswordMixin
from backups_portal.audit.recorder import record
from backups_portal.lib import pgsession
from backups_portal.projects.access import Permission
from backups_portal.projects.database_dsn import keyring, project_dsn, why_silent
from backups_portal.projects.models import Project
from backups_portal.projects.permission_mixins import ProjectPermissionMixin
from backups_portal.replaced_ids.token_list import (
    ListedToken,
    all_tokens,
    count_tokens,
    read_tokens,
    reveal_token,
)
from backups_portal.transfers.views.data_pages import not_exported
from backups_portal.ui.csv_escaping import csv_line
from backups_portal.ui.deferred_list import ListBehindMixin
from backups_portal.ui.pagination import page_of
from backups_portal.ui.streamed_export import ExportedFileView, csv_response
from restores.models import Restore

PAGE = 25
HEADERS = ("kind", "resource id", "resource", "token", "old last four", "new last four", "replaced")


class TokensView(ProjectPermissionMixin, RecentPasswordMixin, ListBehindMixin, TemplateView):
    """Tokens by resource; a value is shown on request, one at a time."""

    permission = Permission.MANAGE_API
    # The list shows no values, so only a reveal asks for the password.
    password_for = ("POST",)
    template_name = "replaced_ids/tokens.html"
    list_template_name = "replaced_ids/_token_list.html"
    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        return self.show()

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Show the page with one value, after recording who sees it."""
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
        )
        return self.show(revealed=token, value=value)

    def show(self, **context: object) -> HttpResponse:
        """Show the page; only its list waits for the project's database."""
        context["restore"] = Restore.objects.filter(project=self.project).only("pk").first()
        if self.request.method == "POST" or self.is_list_wanted:
            context |= self._listed()
        return self.render_to_response(self.get_context_data(**context))

    def _listed(self) -> dict[str, object]:
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
        except psycopg.Error as error:
            return {"unreachable": why_silent(self.project, error)}


class TokensCsvView(ProjectPermissionMixin, ExportedFileView):
    """The checklist: the last four characters of each old and new token, without values."""

    permission = Permission.MANAGE_API

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        try:
            connection = _open(self.project)
            tokens = all_tokens(connection)
        except psycopg.Error as error:
            return not_exported(self.project, error)
        return csv_response(f"{self.project.slug}-tokens.csv", _lines(connection, tokens))


def _open(project: Project) -> Connection:
    return pgsession.connect(project_dsn(project), settings=pgsession.PAGE)


def _lines(connection: Connection, tokens: Iterable[ListedToken]) -> Iterator[str]:
    with connection:
        yield csv_line(HEADERS)
        for token in tokens:
            # All fields except the id, and a column for the reader to tick.
            yield csv_line((*astuple(token)[1:], ""))
