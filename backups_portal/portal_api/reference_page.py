"""The reference page of the API."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from backups_portal.access_tokens.scopes import Scope
from backups_portal.portal_api.api import ABOUT, api
from backups_portal.portal_api.view_wrapper import ROOT
from backups_portal.ui.openapi_pages import groups_of


@csrf_exempt
@login_not_required
@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Show every route by kind, without data of any project.

    Visitors who are signed in see it inside the portal's frame.
    """
    context = {
        "frame": "base.html" if request.user.is_authenticated else "open.html",
        "groups": groups_of(api, root=ROOT.rstrip("/")),
        "origin": request.build_absolute_uri("/").rstrip("/"),
        "about": ABOUT,
        "scopes": Scope.choices,
        "address": request.build_absolute_uri(ROOT).rstrip("/"),
    }
    return render(request, "portal_api/reference.html", context)
