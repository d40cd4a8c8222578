"""Kill a process by SIGKILL before or after a call.

A place has a side ("before" or "behind"), the dotted name of a function as its module calls it,
and the number of the call unless it is the first: "behind tests.killed.is_killed 2".
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any

import django
from django.core.management import call_command
from django.db import connections

BEFORE = "before"


def is_killed(work: Callable[[], object], place: str) -> bool:
    """Run work in a fork of this process; return whether it was killed at the place.

    It must use nothing that already has threads, such as obstore after its first call.
    """
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            _kill_at(place)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def is_command_killed(environment: Mapping[str, str], places: Sequence[str], *command: str) -> bool:
    """Run a portal command for each place; return whether it was killed at every one."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed", str(len(places)), *places, *command],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode == 0


def _kill_at(place: str) -> None:
    when, dotted, *which = place.split()
    module, _, name = dotted.rpartition(".")
    owner, numbers = import_module(module), count(1)
    call = getattr(owner, name)

    def called(*arguments: Any, **options: Any) -> Any:
        is_it = next(numbers) == int(which[0] if which else 1)
        if is_it and when == BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = call(*arguments, **options)
        if is_it:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, called)


if __name__ == "__main__":
    django.setup()
    behind = 2 + int(sys.argv[1])
    run = partial(call_command, *sys.argv[behind:])
    sys.exit(not all(is_killed(run, place) for place in sys.argv[2:behind]))
