"""Health, readiness and metrics; none needs a sign-in."""

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
from redis.exceptions import RedisError

from backups_portal.lib import liveness
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import TASK_SECONDS, redis_client
from backups_portal.ops.metrics import exposition

SIGNS = (liveness.WORKER, liveness.SCHEDULE, liveness.STORAGE)
log = get_logger(__name__)
REDIS_SECONDS = 2.0


@login_not_required
@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that this process lives; restart it if it does not answer."""
    return HttpResponse("ok", content_type="text/plain")


@login_not_required
@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if all that backups need works, else 503 and which part."""
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
    """Return figures for Prometheus to a caller with the token."""
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    wanted = settings.METRICS_TOKEN
    if not wanted or not constant_time_compare(sent, wanted):
        return HttpResponse("Not found\n", status=HTTPStatus.NOT_FOUND, content_type="text/plain")
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _is_heard(sign: str) -> bool:
    workers: timedelta = settings.WORKERS_SILENT_AFTER
    patience = workers if sign == liveness.WORKER else settings.SIGNS_SILENT_AFTER
    try:
        return not liveness.is_silent(sign, patience)
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
        redis_client(TASK_SECONDS).ping()
    except RedisError:
        log.exception("Redis does not answer")
        return False
    return True
