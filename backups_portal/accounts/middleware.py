"""When and from where a session was last used, and which requests need one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from qsessions.middleware import SessionMiddleware

SEEN = "seen_at"
# A page in between writes nothing.
EVERY = timedelta(minutes=5)


class SeenSessionMiddleware(SessionMiddleware):
    """Sessions that know their device, and are saved every few minutes while they are used."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        session = request.session
        # Only what was read for this request anyway, and is somebody's.
        # A page that reads itself again is nobody who uses it.
        is_poll = "HX-Request" in request.headers
        if session.accessed and not is_poll and "_auth_user_id" in session:
            now = timezone.now().timestamp()
            if now - session.get(SEEN, 0) > EVERY.total_seconds():
                session[SEEN] = now
        return super().process_response(request, response)


class AccountRequiredMiddleware(LoginRequiredMiddleware):
    """Asks for a session only where one is needed; Django's own reads it before it looks.

    So the portal's API neither knows nor prolongs a session, whatever cookie comes along.
    """

    def process_view(
        self,
        request: HttpRequest,
        view_func: Callable[..., HttpResponseBase],
        view_args: tuple[Any, ...],
        view_kwargs: dict[str, Any],
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True):
            return None
        return super().process_view(request, view_func, view_args, view_kwargs)
