"""Run the whole portal on this machine: database, queue, web server, worker and schedule.

`manage.py demo` gets there without Django, which needs settings that the demo makes. This is the
way in for `django-admin demo`, where the settings are there already.
"""

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from django.core.management.base import BaseCommand

from backups_portal.demo.bootstrap import run
from backups_portal.demo.options import add_arguments, from_namespace


class Command(BaseCommand):
    """The demo as a command among the others."""

    help = "Run the whole portal on this machine, with a story, until Ctrl-C."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(run(from_namespace(Namespace(**options))))
