"""The portal of a soak: its settings, its projects, and somebody who looks at it."""

import os
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from backups_portal.demo.bootstrap import environment
from backups_portal.demo.data_folder import DataFolder
from backups_portal.demo.embedded_servers import Services
from tests.benchmarks.samples import Say
from tests.benchmarks.soakbeat import VARIABLE
from tests.benchmarks.soakingest import Field
from tests.benchmarks.soakservices import APPLICATION, Servers

# What waits, waits for a part of a compressed day, as it does for a part of a day in production.
IMPATIENT = {
    "LEASE_SECONDS": "10",
    "SNAPSHOT_RETRY_MINUTES": "0,0,0",
    "RESTORE_RETRY_MINUTES": "0,0",
    "SNAPSHOT_FULL_EVERY_DAYS": "4",
    "PROJECT_GRACE_DAYS": "1",
    # Only the locks keep a sweep from what is being stored.
    "ORPHAN_GRACE_HOURS": "0",
}
RETENTION_DAYS = (1, 2)
ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe")
# One of so many has every backup proven, and one of so many a database kept for a warm restore.
PROVEN, WARM = 5, 25


def prepare_portal(folder: DataFolder, servers: Servers, port: int, day: float) -> None:
    """Load Django with the settings that the processes have, and make its tables."""
    services = Services(servers.database_url, servers.redis_url, ())
    keys = {"SNAPSHOT_MASTER_KEYS": f"soak:{secrets.token_hex(32)}"}
    os.environ.update(environment(folder, services, keys, port=port))
    os.environ.update({**IMPATIENT, VARIABLE: str(day), APPLICATION: "soak"})
    import logging

    import django

    django.setup()
    logging.getLogger().setLevel(logging.CRITICAL)
    from backups_portal.demo.demo_server import prepare
    from backups_portal.projects.servers import DEFAULT_NAME, register_server

    prepare(services)
    register_server(DEFAULT_NAME, services.database_url)


def make_fields(number: int, rng: random.Random, say: Say) -> list[Field]:
    """Projects with a device each, whose runs are within the next day."""
    say(f"making {number:,} projects")
    owner = _owner()
    return [_make_field(place, owner, rng) for place in range(number)]


def _owner() -> Any:
    from backups_portal.accounts.models import Account
    from backups_portal.demo.demo_accounts import OWNER

    return Account.objects.get(email=OWNER.email)


def _make_field(place: int, owner: Any, rng: random.Random) -> Field:
    from django.utils import timezone

    from backups_portal.projects.database_dsn import project_dsn
    from backups_portal.projects.due_times import next_run
    from backups_portal.projects.models import MainDatabase
    from backups_portal.projects.project_creation import BackupSettings, create_project
    from tests.projectdatabases import Target, add_device, open_database

    at, zone = time(rng.randrange(24), rng.randrange(60)), rng.choice(ZONES)
    first = next_run(timezone.now(), at, zone)
    project = create_project(
        name=f"Field {place + 1}",
        owner=owner,
        settings=BackupSettings(at, zone, rng.choice(RETENTION_DAYS), first),
    )
    MainDatabase.objects.filter(pk=project.pk).update(
        proof_policy="every" if place % PROVEN == 0 else "weekly", warm_restore=place % WARM == 0
    )
    dsn = project_dsn(project)
    with open_database(Target(dsn, project.prefix)) as connection:
        add_device(connection)
    return Field(project.pk, dsn, project.prefix)


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed in, and the pages that they look at."""

    session: str
    pages: Sequence[str]


def visitor() -> Visitor:
    """The projects' owner."""
    from django.test import Client

    from backups_portal.projects.models import Project

    owner, client = _owner(), Client()
    client.force_login(owner)
    slugs = Project.objects.order_by("created_at").values_list("slug", flat=True)[:5]
    pages = [f"/projects/{slug}/{page}" for slug in slugs for page in ("", "backups/", "activity/")]
    return Visitor(client.cookies["sessionid"].value, ["/", *pages])
