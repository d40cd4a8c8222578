"""Health of a web process, for load balancers: it lives, and what it needs answers."""

from datetime import timedelta
from http import HTTPStatus

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from redis.exceptions import RedisError

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import TASK_SECONDS, redis_client

log = get_logger(__name__)

PROBE = "backups-portal:probe"
OK, UNAVAILABLE, UNKNOWN = "ok", "unavailable", "unknown"


def alive() -> HttpResponse:
    """Answer that this process lives; restart it if it does not answer."""
    return HttpResponse("ok", content_type="text/plain")


def readiness(parts: dict[str, str]) -> JsonResponse:
    """Answer 200, or 503 if a part is unavailable; the body says which."""
    is_down = UNAVAILABLE in parts.values()
    return JsonResponse(parts, status=HTTPStatus.SERVICE_UNAVAILABLE if is_down else HTTPStatus.OK)


def servers() -> dict[str, str]:
    """Ask PostgreSQL and Redis whether they work."""
    answers = {"database": database_answers(), "redis": redis_answers()}
    return {name: OK if works else UNAVAILABLE for name, works in answers.items()}


def may_read_metrics(request: HttpRequest) -> bool:
    """Tell whether a request has the token of Prometheus."""
    sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
    wanted: str = settings.METRICS_TOKEN
    return bool(wanted) and constant_time_compare(sent, wanted)


def no_metrics() -> HttpResponse:
    """Answer as if there were no metrics."""
    return HttpResponse("Not found\n", status=HTTPStatus.NOT_FOUND, content_type="text/plain")


def database_answers() -> bool:
    """Tell whether the portal's own database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        log.error("the database does not answer", error=error)
        return False
    return True


def redis_answers() -> bool:
    """Tell whether Redis answers, and takes what is written: one that is full queues nothing."""
    try:
        redis_client(TASK_SECONDS).set(PROBE, 1, ex=timedelta(minutes=1))
    except RedisError as error:
        log.error("Redis does not answer, or takes nothing", error=error)
        return False
    return True
