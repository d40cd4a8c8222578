"""Health, readiness and metrics; none needs a sign-in."""

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError

from backups_portal.lib import health, liveness
from backups_portal.lib.health import OK, UNAVAILABLE, UNKNOWN
from backups_portal.ops.liveness_metrics import SIGNS
from backups_portal.ops.metrics import exposition
from backups_portal.ops.storage_state import storage_state
from snapshots.storages.storage_signs import STORAGE, storage_sign


@login_not_required
@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that this process lives."""
    return health.alive()


@login_not_required
@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 if all that backups need works, else 503 and which part."""
    return health.readiness(health.servers() | _heard())


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Return figures for Prometheus to a caller with the token."""
    if not health.may_read_metrics(request):
        return health.no_metrics()
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _heard() -> dict[str, str]:
    """Return the state of all that gives signs of life, which it does in Redis."""
    try:
        silent = {sign: liveness.is_silent(sign, _patience(sign)) for sign in SIGNS}
        storage = storage_state(storage_sign())
    except RedisError:
        return dict.fromkeys((*SIGNS, STORAGE), UNKNOWN)
    states = {sign: UNAVAILABLE if silent[sign] else OK for sign in SIGNS}
    if silent[liveness.BEAT] or silent[liveness.SYSTEM]:
        # Ticks cannot come to their end without them: these are what is lost.
        states[liveness.SCHEDULE] = UNKNOWN
    return {**states, STORAGE: storage}


def _patience(sign: str) -> timedelta:
    is_tick = sign == liveness.SCHEDULE
    patience: timedelta = settings.SIGNS_SILENT_AFTER if is_tick else settings.WORKERS_SILENT_AFTER
    return patience
