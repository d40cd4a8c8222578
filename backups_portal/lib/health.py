"""Liveness and readiness of a web process, for load balancers and monitoring."""

from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import TASK_SECONDS, redis_client

log = get_logger(__name__)

PROBE = "backups-portal:probe"
OK, UNAVAILABLE, UNKNOWN = "ok", "unavailable", "unknown"


def health_paths(
    parts: Callable[[], dict[str, str]], figures: Callable[[], bytes]
) -> list[URLPattern]:
    """Route the addresses for load balancers and monitoring, without sign-in.

    Args:
        parts: Returns the state of each part that the process needs.
        figures: Returns the metrics that Prometheus reads with its token.
    """

    def healthz(request: HttpRequest) -> HttpResponse:
        # For liveness probes: a process that does not answer should be restarted.
        return HttpResponse("ok", content_type="text/plain")

    def readyz(request: HttpRequest) -> JsonResponse:
        states = parts()
        is_down = UNAVAILABLE in states.values()
        status = HTTPStatus.SERVICE_UNAVAILABLE if is_down else HTTPStatus.OK
        return JsonResponse(states, status=status)

    def metrics(request: HttpRequest) -> HttpResponse:
        if not may_read_metrics(request):
            status = HTTPStatus.NOT_FOUND
            return HttpResponse("Not found\n", status=status, content_type="text/plain")
        return HttpResponse(figures(), content_type=CONTENT_TYPE_LATEST)

    return [
        path(view.__name__, login_not_required(require_safe(never_cache(view))), name=view.__name__)
        for view in (healthz, readyz, metrics)
    ]


def servers() -> dict[str, str]:
    """Ask PostgreSQL and Redis whether they work."""
    answers = {"database": database_answers(), "redis": redis_answers()}
    return {name: OK if works else UNAVAILABLE for name, works in answers.items()}


def may_read_metrics(request: HttpRequest) -> bool:
    """Tell whether a request carries Prometheus's token."""
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    wanted: str = settings.METRICS_TOKEN
    return bool(wanted) and constant_time_compare(sent, wanted)


def database_answers() -> bool:
    """Tell whether the portal's database accepts writes; a replica does not."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            is_read_only = cursor.fetchone() == ("on",)
    except DatabaseError as error:
        log.error("the database does not answer", error=error)
        return False
    if is_read_only:
        log.error("the database accepts no changes: it is a replica, or set to read-only")
    return not is_read_only


def redis_answers() -> bool:
    """Tell whether Redis accepts writes.

    A full one answers, but queues nothing.
    """
    try:
        redis_client(TASK_SECONDS).set(PROBE, 1, ex=timedelta(minutes=1))
    except RedisError as error:
        log.error("Redis does not answer, or accepts no writes", error=error)
        return False
    return True
