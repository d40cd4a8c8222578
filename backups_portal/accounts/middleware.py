"""When and from where a session was last used."""

from datetime import timedelta

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
