"""Show how long a locked out visitor must wait."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from backups_portal.accounts.sign_in_limits import QUARTER, RESET, minutes


def locked_page(request: HttpRequest, seconds: int) -> HttpResponse:
    """Say how long to wait; `Retry-After` says it to programs, in seconds."""
    response = render(
        request,
        "accounts/locked.html",
        {
            "minutes": minutes(seconds),
            "seconds": seconds,
            "next": request.POST.get("next") or request.GET.get("next", ""),
        },
        status=HTTPStatus.TOO_MANY_REQUESTS,
    )
    response["Retry-After"] = str(seconds)
    response["Cache-Control"] = "no-store"
    return response


def too_many_requests(request: HttpRequest) -> HttpResponse:
    """Answer what allauth's own limits refuse, which do not say for how long."""
    is_reset = request.path == reverse("account_reset_password")
    return locked_page(request, RESET.seconds if is_reset else QUARTER)
