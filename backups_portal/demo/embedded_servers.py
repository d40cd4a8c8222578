"""Run PostgreSQL and Redis for the demo and for tests on a bare machine."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from backups_portal.demo.child_processes import Child, end_orphans
from backups_portal.demo.data_folder import DataFolder
from backups_portal.demo.postgres import Programs, start_postgres
from backups_portal.demo.redis import start_redis
from backups_portal.demo.system_user import Say


@dataclass(frozen=True)
class Services:
    """The addresses of PostgreSQL and Redis, and the processes to watch."""

    database_url: str
    redis_url: str
    children: tuple[Child, ...]


@contextmanager
def running(
    folder: DataFolder,
    *,
    database_url: str,
    redis_url: str,
    durable: bool,
    say: Say,
    programs: Programs | None = None,
) -> Iterator[Services]:
    """Run both services while the context lasts.

    A service with a URL is not started.

    Args:
        durable: Whether committed data must survive a crash of the machine.
        programs: The programs of a PostgreSQL other than the embedded one.

    Raises:
        DemoError: one of them does not start.
    """
    end_orphans(folder)
    children: list[Child] = []
    with ExitStack() as stack:
        if not database_url:
            child, database_url = start_postgres(
                folder, durable=durable, say=say, programs=programs
            )
            stack.callback(child.stop)
            children.append(child)
        if not redis_url:
            child, redis_url = start_redis(folder, durable=durable, say=say)
            stack.callback(child.stop)
            children.append(child)
        yield Services(database_url, redis_url, tuple(children))
