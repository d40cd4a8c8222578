"""The page that describes the API to people."""

from functools import cache

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from backups_portal.accounts.scopes import Scope
from backups_portal.automation.door import ROOT
from backups_portal.automation.main import ABOUT, api
from backups_portal.ui.reference import Group, groups_of


@csrf_exempt
@login_not_required
@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Every route that is there, by kind; it tells nothing of anybody's projects."""
    context = {
        "groups": _groups(),
        "about": ABOUT,
        "scopes": Scope.choices,
        "url": request.build_absolute_uri(ROOT).rstrip("/"),
    }
    return render(request, "automation/reference.html", context)


@cache
def _groups() -> list[Group]:
    return groups_of(api.get_openapi_schema())
