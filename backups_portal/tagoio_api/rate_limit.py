"""The limit of requests of each token, if the operator sets one; migrations need none."""

from http import HTTPStatus

from django.conf import settings

from backups_portal.lib.limits import Limit
from backups_portal.tagoio_api.envelope import ApiError

MINUTE = 60


def check_limit(token_id: str) -> None:
    """Count one request of a token.

    Raises:
        ApiError: it has had its requests of this minute.
    """
    max_requests = settings.API_REQUESTS_PER_MINUTE
    if max_requests and (wait := Limit("api-requests", max_requests, MINUTE).take(token_id)):
        message = f"Too many requests (Retry-After: {wait})"
        raise ApiError(message, HTTPStatus.TOO_MANY_REQUESTS)
