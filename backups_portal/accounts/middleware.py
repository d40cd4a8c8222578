"""Middleware for sessions: records their last use, and requires one for most requests."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.deprecation import MiddlewareMixin

SEEN = "seen_at"
# A request within this interval writes nothing; allauth's own middleware writes for each.
EVERY = timedelta(minutes=5)
ENDED = "Your session has ended, so nothing was changed. Sign in, then do it again."


class SeenSessionMiddleware(MiddlewareMixin):
    """Records a session's browser, address and last use every few minutes."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        session = request.session
        # Only signed-in sessions that were read for this request anyway. Polling does not count as
        # activity.
        is_poll = "HX-Request" in request.headers
        if session.accessed and not is_poll and request.user.is_authenticated:
            now = timezone.now().timestamp()
            if now - session.get(SEEN, 0) > EVERY.total_seconds():
                UserSession.objects.create_from_request(request)
                session[SEEN] = now
        return response


class AccountRequiredMiddleware(LoginRequiredMiddleware):
    """Reads the session only if a view needs it; Django's always reads it.

    So the portal's API neither uses nor prolongs a session, whatever cookie is sent.
    """

    def process_view(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase], *called_with: Any
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True):
            return None
        return super().process_view(request, view_func, *called_with)

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Forbid caching, so that Back shows fresh pages, and none after sign-out."""
        is_free = not response.has_header("Cache-Control")
        if is_free and request.session.accessed and request.user.is_authenticated:
            add_never_cache_headers(response)
        return response

    def handle_no_permission(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseRedirect:
        """Redirect to the sign-in and back; after a form, to the form's page."""
        if request.method in ("GET", "HEAD"):
            return super().handle_no_permission(request, view_func)
        # After signing in, the form's page would look as if the form had been saved.
        messages.warning(request, ENDED)
        page = urlsplit(request.headers.get("Referer", ""))
        is_ours = page.netloc == request.get_host() and page.path.startswith("/")
        return redirect_to_login(
            urlunsplit(("", "", page.path, page.query, "")) if is_ours else "/"
        )
