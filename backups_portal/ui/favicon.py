"""The icon at /favicon.ico, which browsers and link previews request at every origin."""

from functools import cache
from pathlib import Path

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

SECONDS = 24 * 60 * 60


@login_not_required
@require_safe
@cache_control(public=True, max_age=SECONDS)
def favicon(request: HttpRequest) -> HttpResponse:
    """Return the portal's icon, as SVG whatever the address suggests."""
    return HttpResponse(_picture(), content_type="image/svg+xml")


@cache
def _picture() -> bytes:
    return Path(settings.BASE_DIR, "static", "img", "favicon.svg").read_bytes()
