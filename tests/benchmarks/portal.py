"""The portal's rows and visitors in this process; import it once Django is ready.

Its URLs are the portal's, plus the baseline of pages: an empty one behind sign-in.
"""

from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client as Browser
from django.urls import path, reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projectdb.provisioning import database_name
from backups_portal.projectdb.tokens import TokenGrant, create_token
from backups_portal.projects.database_dsn import PASSWORD_PURPOSE, keyring
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import BackupSettings
from backups_portal.projects.servers import DEFAULT_NAME, register_server
from backups_portal.urls import urlpatterns as pages
from restores.snapshot_loader import Target
from snapshots.models import Snapshot
from tests import forced_sign_ins  # noqa: F401 - it listens
from tests.benchmarks.fleet import add_devices
from tests.benchmarks.servers import Client
from tests.factories import (
    make_account,
    make_membership,
    make_project_row,
    make_restore,
    make_transfer,
)
from tests.projectdatabases import PASSWORD, open_database
from tests.realprojects import database_of, make_project
from tests.takensnapshots import taken

# Rows of paginated lists, and of lists on a project's own pages.
MAX_ROWS, TOKENS = 100, 30
# The settings decide whether this is the API or the portal.
APPLICATION = import_string(settings.WSGI_APPLICATION)
NOTHING = engines["jinja2"].from_string("")


def empty(request: HttpRequest) -> HttpResponse:
    """Answer a signed-in visitor with an empty page."""
    # Reads the account as every page does.
    return HttpResponse(NOTHING.render({"email": request.user.pk}, request))


urlpatterns = [path("empty/", empty), *pages]


def serve(source: Target) -> Client:
    """Make a project of a main database; return its API with a new profile token."""
    name = database_name(source.prefix)
    server = register_server(DEFAULT_NAME, settings.PROJECT_DATABASE_URL)
    make_project_row(
        slug=name,
        prefix=source.prefix,
        server=server,
        database=name,
        role=name,
        sealed_password=keyring().seal(PASSWORD, PASSWORD_PURPOSE),
    )
    return Client(APPLICATION, {"HTTP_TOKEN": new_token(source)})


def new_token(source: Target, device_id: str | None = None) -> str:
    grant = TokenGrant("device" if device_id else "profile", name="New", device_id=device_id)
    with open_database(source) as opened:
        return create_token(opened, grant, keys=keyring()).value


def visitor(account: Account) -> Client:
    browser = Browser()
    browser.force_login(account)
    cookie = f"sessionid={browser.cookies['sessionid'].value}"
    headers = {"HTTP_COOKIE": cookie, "HTTP_ACCEPT_ENCODING": "gzip, deflate, br"}
    return Client(APPLICATION, headers)


def project_with(rows: int) -> tuple[Client, dict[str, str]]:
    """Make a new owner's project with this many rows of each kind; return its pages by name."""
    owner, now = make_account(), timezone.now()
    schedule = BackupSettings(now.time(), "UTC", 7, now + timedelta(hours=6))
    project = make_project(f"Project of {rows}", owner, schedule, rows=1_000)
    with open_database(database_of(project)) as opened:
        add_devices(opened, min(rows, MAX_ROWS) - 1)
        ids = opened.execute("SELECT id::text FROM device LIMIT %s", [TOKENS]).fetchall()
    for (device_id,) in ids:
        new_token(database_of(project), device_id)
    return visitor(owner), _pages_of(project, owner, _fill(project, owner, rows))


def _fill(project: Project, owner: Account, rows: int) -> Snapshot:
    """Create backups, events, projects and members; return the newest backup."""
    newest = taken(project)
    fields = Snapshot._meta.concrete_fields
    values = {one.attname: getattr(newest, one.attname) for one in fields if not one.primary_key}
    older = [
        Snapshot(**{**values, **_times(timezone.now() - timedelta(days=day))})
        for day in range(1, rows)
    ]
    Snapshot.objects.bulk_create(older, batch_size=2_000)
    event = partial(AuditEvent, project_id=project.pk, action="snapshot.completed")
    AuditEvent.objects.bulk_create([event() for _ in range(rows)], batch_size=2_000)
    # The list shows one page of them at most.
    for _ in range(min(rows, MAX_ROWS) - 1):
        make_project_row(owner=owner)
        make_membership(project, make_account())
    analyze()
    return newest


def _times(moment: datetime) -> dict[str, object]:
    names = ("scheduled_for", "taken_at", "started_at", "finished_at")
    return {"local_date": moment.date(), **dict.fromkeys(names, moment)}


def analyze() -> None:
    """Update the planner's statistics, as autovacuum does within a minute."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _pages_of(project: Project, owner: Account, snapshot: Snapshot) -> dict[str, str]:
    restore = make_restore(snapshot, requested_by=owner, state="failed", reason="None.")
    others = Project.objects.filter(memberships__account=owner).exclude(pk=project.pk)
    another = others.first() or make_project_row(owner=owner)
    transfer = make_transfer(project, another, requested_by=owner)
    base = f"/projects/{project.slug}"
    backup = f"{base}/backups/{snapshot.pk}"
    return {
        "projects": "/",
        "project": f"{base}/",
        "main database": f"{base}/main-database/",
        "backups": f"{base}/backups/",
        "what is inside": f"{backup}/",
        "compare": f"{backup}/compare/",
        "download": f"{backup}/download/",
        "find lost rows": f"{base}/backups/find/",
        "restore a backup": f"{backup}/restore/",
        "restore": f"/restores/{restore.pk}/",
        "transfers": f"{base}/transfers/",
        "data as CSV": f"{base}/data/",
        "ids": f"{base}/ids/",
        "notifications": f"{base}/notifications/",
        "members": f"{base}/members/",
        "charges": f"{base}/charges/",
        "activity": f"{base}/activity/",
        "shut down": f"{base}/shut-down/",
        "devices of a backup": f"{backup}/devices/",
        "left out": f"{backup}/left-out/",
        "restores of a backup": f"{backup}/restores/",
        "transfer": f"{base}/transfers/{transfer.pk}/",
        # These query the project's own database.
        "tokens": f"{base}/tokens/",
        "API": f"{base}/api/",
        "all charges": reverse("all-charges"),
        "security": "/account/",
        "API tokens": reverse("access-tokens"),
        "password": reverse("account_change_password"),
        "e-mail": reverse("account_email"),
    }
