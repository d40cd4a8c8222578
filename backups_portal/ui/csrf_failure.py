"""The page for a CSRF failure: another site may have sent the form."""

from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

# Django's reasons begin with one of these if it does not know the form's origin.
UNKNOWN_SITE = ("Origin checking failed", "Referer checking failed")


def refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Explain why a form was refused: too old, or from another address.

    Args:
        reason: One of django.middleware.csrf's.
    """
    if not reason.startswith(UNKNOWN_SITE):
        return render(request, "403_csrf.html", status=403)
    context = {
        "origin": origin_of(request),
        "own": f"{request.scheme}://{request.get_host()}",
        "portal_url": settings.PORTAL_URL,
    }
    return render(request, "403_origin.html", context, status=403)


def origin_of(request: HttpRequest) -> str:
    """Return the site that a request claims to come from, or ""."""
    named = request.headers.get("Origin", "") or request.headers.get("Referer", "")
    try:
        parts = urlsplit(named)
    except ValueError:
        return ""
    is_site = parts.scheme in ("http", "https") and parts.netloc and "@" not in parts.netloc
    return f"{parts.scheme}://{parts.netloc}" if is_site else ""
