"""The page that tells a locked-out visitor how long to wait."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from backups_portal.accounts.sign_in_limits import QUARTER, RESET, minutes


def locked_page(request: HttpRequest, seconds: int) -> HttpResponse:
    """Show how long to wait, for programs in `Retry-After` (seconds)."""
    target = request.POST.get("next") or request.GET.get("next", "")
    context = {"minutes": minutes(seconds), "next": target}
    response = render(request, "accounts/locked.html", context, status=HTTPStatus.TOO_MANY_REQUESTS)
    response["Retry-After"] = str(seconds)
    response["Cache-Control"] = "no-store"
    return response


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """Answer a request refused by allauth's limits, which name no wait."""
    is_reset = request.path == reverse("account_reset_password")
    return locked_page(request, RESET.seconds if is_reset else QUARTER)
