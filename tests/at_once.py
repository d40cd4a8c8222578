"""Do several things at the same moment, each over its own connection."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection


def at_once(*works: Callable[[], object]) -> None:
    """Run functions in threads that start together; raise the first error."""
    together = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            together.wait(10)
            work()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        for one in [pool.submit(run, work) for work in works]:
            one.result()
