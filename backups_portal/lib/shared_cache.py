"""The cache that all processes share in Redis, with a local fallback during outages."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)
Result = TypeVar("Result")


class SharedCache(RedisCache):
    """Redis, or this process's memory if it fails: signing in must not need Redis."""

    def add(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> bool:
        return self._ask(super(), lambda cache: cache.add(key, value, *args, **kwargs))

    def get(self, key: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask(super(), lambda cache: cache.get(key, *args, **kwargs))

    def set(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        self._ask(super(), lambda cache: cache.set(key, value, *args, **kwargs))

    def delete(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        return self._ask(super(), lambda cache: cache.delete(key, *args, **kwargs))

    @cached_property
    def _own(self) -> LocMemCache:
        return LocMemCache("while Redis is away", {})

    def _ask(self, shared: Any, question: Callable[[BaseCache], Result]) -> Result:
        try:
            return question(shared)
        except RedisError as error:
            log.error("Redis does not answer, so this process uses its own cache", error=error)
            return question(self._own)
