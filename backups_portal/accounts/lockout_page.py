"""Show how long a locked out visitor must wait."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from backups_portal.accounts.sign_in_limits import minutes


def locked_page(request: HttpRequest, seconds: int, *, next_url: str = "") -> HttpResponse:
    """Say how long to wait; `Retry-After` says it to programs, in seconds."""
    response = render(
        request,
        "accounts/locked.html",
        {"minutes": minutes(seconds), "seconds": seconds, "next": next_url},
        status=HTTPStatus.TOO_MANY_REQUESTS,
    )
    response["Retry-After"] = str(seconds)
    response["Cache-Control"] = "no-store"
    return response
