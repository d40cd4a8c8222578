"""Whether the portal lives, and whether it can work. Neither needs a sign-in."""

import logging
from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST
from redis import Redis
from redis.exceptions import RedisError

from backups_portal.lib import pulse
from backups_portal.ops.metrics import exposition

SIGNS = (pulse.WORKER, pulse.SCHEDULE, pulse.STORAGE)
log = logging.getLogger(__name__)
REDIS_SECONDS = 2.0


@login_not_required
@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers: restart it if it does not."""
    return HttpResponse("ok", content_type="text/plain")


@login_not_required
@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """All that backups need works: 503, and which part does not, while it does not."""
    parts = {"database": _database_answers(), "redis": _redis_answers()}
    parts |= {sign: parts["redis"] and _is_heard(sign) for sign in SIGNS}
    return JsonResponse(
        {name: "ok" if answers else "unavailable" for name, answers in parts.items()},
        status=HTTPStatus.OK if all(parts.values()) else HTTPStatus.SERVICE_UNAVAILABLE,
    )


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Figures for Prometheus, to who knows the token."""
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    wanted = settings.METRICS_TOKEN
    if not wanted or not constant_time_compare(sent, wanted):
        return HttpResponse("Not found\n", status=HTTPStatus.NOT_FOUND, content_type="text/plain")
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _is_heard(sign: str) -> bool:
    workers: timedelta = settings.WORKERS_SILENT_AFTER
    patience = workers if sign == pulse.WORKER else settings.SIGNS_SILENT_AFTER
    try:
        return not pulse.is_silent(sign, patience)
    except RedisError:
        log.exception("Redis does not answer")
        return False


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        log.exception("the database does not answer")
        return False
    return True


def _redis_answers() -> bool:
    try:
        with Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS
        ) as client:
            client.ping()
    except RedisError:
        log.exception("Redis does not answer")
        return False
    return True
