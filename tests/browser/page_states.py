"""Pages in states that the access table does not cover: their visitors and addresses."""

from collections.abc import Callable
from operator import attrgetter

from backups_portal.accounts.models import Account
from backups_portal.notifications.digest_link import address_to_turn_off
from tests.browser.scene import Scene
from tests.projectdatabases import DEVICE

# A state is who visits the page, and its address.
State = tuple[Callable[[Scene], Account | None], Callable[[Scene], str]]
OWNER: Callable[[Scene], Account | None] = attrgetter("owner")
STATES: dict[str, State] = {
    "sign-in": (lambda scene: None, lambda scene: scene.url("account_login")),
    "forgotten": (lambda scene: None, lambda scene: scene.url("account_reset_password")),
    "no projects": (lambda scene: scene.stranger, lambda scene: scene.url("projects")),
    "invited": (lambda scene: scene.guest, lambda scene: scene.url("projects")),
    "collaborator's project": (
        lambda scene: scene.collaborator,
        lambda scene: scene.url("project"),
    ),
    "collaborator's database": (
        lambda scene: scene.collaborator,
        lambda scene: scene.url("main-database"),
    ),
    "no backups": (OWNER, lambda scene: scene.url("backups", slug=scene.empty.slug)),
    "weekly digest off": (
        lambda scene: None,
        lambda scene: address_to_turn_off(scene.project, scene.owner),
    ),
    "no objectives": (OWNER, lambda scene: scene.url("objectives", slug=scene.empty.slug)),
    "no charges": (OWNER, lambda scene: scene.url("charges", slug=scene.empty.slug)),
    "evidence of no backups": (
        OWNER,
        lambda scene: scene.url("evidence", slug=scene.empty.slug),
    ),
    "evidence of the future": (
        OWNER,
        lambda scene: f"{scene.url('evidence')}?from=2999-01-01",
    ),
    "no transfers": (OWNER, lambda scene: scene.url("transfers", slug=scene.empty.slug)),
    "shut down": (OWNER, lambda scene: scene.url("project", slug=scene.ended.slug)),
    "restored project": (
        OWNER,
        lambda scene: scene.url("project", slug=scene.restores["completed"].project.slug),
    ),
    **{
        f"restore {state}": (
            OWNER,
            lambda scene, state=state: scene.url("restore", restore=scene.restores[state].pk),
        )
        for state in ("failed", "running", "queued")
    },
    **{
        f"transfer {state}": (
            OWNER,
            lambda scene, state=state: scene.url("transfer", transfer=scene.transfers[state].pk),
        )
        for state in (
            *("queued", "ready", "paused", "cancelled", "completed", "undone", "failed"),
            *("undo waiting", "undo cancelled", "of settings ready", "of settings completed"),
        )
    },
    "failed backup": (OWNER, lambda scene: scene.url("snapshot", snapshot=scene.failed.pk)),
    "backup that failed its proof": (
        OWNER,
        lambda scene: scene.url(
            "snapshot", snapshot=scene.project.snapshots.get(verdict="failed").pk
        ),
    ),
    "compared backups": (
        OWNER,
        lambda scene: f"{scene.url('snapshot-compare')}?with=now",
    ),
    "records of a backup": (
        OWNER,
        lambda scene: (
            f"{scene.url('snapshot-device')}?variable=temperature_1&since=2026-03-01T00:00"
        ),
    ),
    "chart beside the database": (
        OWNER,
        lambda scene: f"{scene.url('snapshot-device-chart')}?now=on",
    ),
    "tokens in a backup": (
        OWNER,
        lambda scene: f"{scene.url('snapshot-resources')}?kind=tokens",
    ),
    "device in a backup whose objects are gone": (
        OWNER,
        lambda scene: scene.url(
            "snapshot-device",
            snapshot=scene.project.snapshots.filter(verdict="passed").first().pk,
        ),
    ),
    "backup with a failed check": (
        OWNER,
        lambda scene: scene.url(
            "snapshot", snapshot=scene.project.snapshots.get(verdict="passed", checks_failed=1).pk
        ),
    ),
    "no checks": (OWNER, lambda scene: scene.url("backups-checks", slug=scene.empty.slug)),
    "check of a range": (
        OWNER,
        lambda scene: scene.url("backups-check", check=scene.project.checks.get(kind="between").pk),
    ),
    "restore of lost rows": (
        OWNER,
        lambda scene: f"{scene.url('restore-confirm')}?device={DEVICE}&day=2026-03-01",
    ),
    "lost rows found": (
        OWNER,
        lambda scene: f"{scene.url('backups-find')}?device=Truck&day=2026-03-01",
    ),
    "variable found": (
        OWNER,
        lambda scene: (
            f"{scene.url('backups-find')}?device=Truck&variable=temperature_1"
            "&day=2026-03-01&last_day=2026-03-02"
        ),
    ),
}
