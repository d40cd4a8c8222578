"""Create projects: the database first, the row that publishes it last."""

import secrets
from dataclasses import dataclass
from datetime import datetime, time

import psycopg
from django.db import IntegrityError, connection, transaction
from django.db.models import Q
from django.utils.text import slugify

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.billing.charge_ledger import charge_creation, current_quote, start_running
from backups_portal.billing.prices import Quote
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.ids import new_prefix
from backups_portal.projectdb.provisioning import (
    ProvisioningError,
    create_database,
    database_name,
    drop_database,
    settle_database,
)
from backups_portal.projects.database_dsn import PASSWORD_PURPOSE, keyring, server_url
from backups_portal.projects.errors import NameRefusedError
from backups_portal.projects.models import DatabaseServer, MainDatabase, Membership, Project
from backups_portal.projects.servers import choose_server
from backups_portal.ui.visible_names import name_problem

log = get_logger(__name__)

NAME_LENGTH = 100


@dataclass(frozen=True)
class BackupSettings:
    """The initial backup settings of a project; `first_run` is in UTC."""

    backup_time: time
    backup_time_zone: str
    retention_days: int
    first_run: datetime


@dataclass(frozen=True)
class Instance:
    """A database on a server that no project owns yet."""

    server: DatabaseServer
    prefix: str
    password: str


def check_name(name: str, owner: Account) -> str:
    """Return a project's name as it will be stored.

    Raises:
        NameRefusedError: it is empty, too long, or another project of this account has it.
    """
    name = " ".join(name.split())
    if not name:
        raise NameRefusedError("Enter a name for the project.")
    if problem := name_problem(name):
        raise NameRefusedError(problem)
    if len(name) > NAME_LENGTH:
        raise NameRefusedError(
            f"A project's name can have at most {NAME_LENGTH} characters; this one has {len(name)}."
        )
    taken = Q(created_by=owner) | Q(memberships__account=owner)
    named = Project.objects.filter(taken, name__iexact=name)
    if named.exclude(state=Project.State.REMOVED).exists():
        raise NameRefusedError(f"You already have a project named “{name}”. Choose another name.")
    return name


def create_instance(*, server: DatabaseServer, project_name: str, prefix: str) -> Instance:
    """Make a new, empty main database under an unused prefix.

    Raises:
        ProvisioningError: the server could not make it.
    """
    password = new_password()
    create_database(
        server_url(server),
        prefix=prefix,
        password=password,
        project_name=project_name,
        installation=installation(),
    )
    return Instance(server, prefix, password)


def settle_instance(instance: Instance) -> None:
    """Mark the database as a project's, so that no sweep drops it."""
    try:
        settle_database(server_url(instance.server), prefix=instance.prefix)
    except psycopg.Error:
        # The sweep will do it.
        log.warning("could not settle database", prefix=instance.prefix, exc_info=True)


def installation() -> str:
    """Return an id of this portal among those that share its servers."""
    return keyring().digest("installation").hex()[:16]


def new_password() -> str:
    """Make a password for the role of a main database."""
    return secrets.token_urlsafe(24)


def publish_project(
    *,
    instance: Instance,
    name: str,
    owner: Account,
    settings: BackupSettings,
    quote: Quote,
    reason: str,
) -> Project:
    """Make an instance a project of its owner, who pays from now on.

    Call it in a transaction, so that there is never half a project.
    """
    project = insert_project(
        name=name,
        prefix=instance.prefix,
        server=instance.server,
        database=database_name(instance.prefix),
        role=database_name(instance.prefix),
        sealed_password=keyring().seal(instance.password, PASSWORD_PURPOSE),
        created_by=owner,
    )
    # Foreign keys are checked, and lock what they name, at the commit unless it is done here: only
    # from now on the server cannot be removed. It may have been a moment ago.
    connection.check_constraints()
    if not DatabaseServer.objects.filter(pk=instance.server.pk).exists():
        raise ProvisioningError("The database server was removed meanwhile.", cause=Cause.REMOVED)
    Membership.objects.create(project=project, account=owner, role=Membership.Role.OWNER)
    MainDatabase.objects.create(
        project=project,
        backup_time=settings.backup_time,
        backup_time_zone=settings.backup_time_zone,
        retention_days=settings.retention_days,
        next_snapshot_at=settings.first_run,
    )
    charge_creation(project=project, quote=quote, reason=reason)
    start_running(project=project, quote=quote, reason=reason)
    return project


def insert_project(*, name: str, **fields: object) -> Project:
    """Store a project under a free slug, in a transaction of the caller."""
    slug = free_slug(name)
    try:
        with transaction.atomic():
            return Project.objects.create(slug=slug, name=name, **fields)
    except IntegrityError:
        # Another transaction may have taken the slug since.
        if (other := free_slug(name)) == slug:
            raise
    return Project.objects.create(slug=other, name=name, **fields)


def create_project(
    *,
    name: str,
    owner: Account,
    settings: BackupSettings,
    server_name: str = "",
) -> Project:
    """Make a project with an empty main database.

    Args:
        server_name: The server for its database; empty: the one with most room.

    Raises:
        NameRefusedError: the name cannot be used.
        ProvisioningError: no server could make the database; nothing is left behind.
    """
    name = check_name(name, owner)
    server = choose_server(server_name)
    instance = create_instance(server=server, project_name=name, prefix=unused_prefix())
    try:
        with transaction.atomic():
            project = publish_project(
                instance=instance,
                name=name,
                owner=owner,
                settings=settings,
                quote=current_quote(),
                reason="New project",
            )
            first_backup = {"first_backup": settings.first_run.isoformat()}
            record(action="project.created", actor=owner, project=project, details=first_backup)
    except BaseException as error:
        drop_database(server_url(instance.server), prefix=instance.prefix)
        if isinstance(error, IntegrityError):
            # Another request may have taken the name since it was checked.
            check_name(name, owner)
        raise
    settle_instance(instance)
    return project


def unused_prefix() -> str:
    """Draw eight hex digits that are not the prefix of any project."""
    while Project.objects.filter(prefix=(prefix := new_prefix())).exists():
        pass
    return prefix


def free_slug(name: str) -> str:
    """Return the name as a slug, with four random hex digits if it is taken."""
    base = slugify(name)[:70].strip("-") or "project"
    slug = base
    while Project.objects.filter(slug=slug).exists():
        slug = f"{base}-{secrets.token_hex(2)}"
    return slug
