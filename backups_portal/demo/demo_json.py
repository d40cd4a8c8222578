"""Write DIR/demo.json: addresses, sign-ins and projects for programs."""

from typing import TypedDict

import psycopg

from backups_portal.demo.demo_accounts import PEOPLE, demo_password
from backups_portal.lib import pgsession
from backups_portal.projectdb.tokens import SEALED, TokenGrant, create_token, reveal
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project

TOKEN_NAME = "Demo"  # noqa: S105 - the name of a token


class DescribedProject(TypedDict):
    """A project as demo.json shows it."""

    id: str
    slug: str
    name: str
    api_url: str | None
    profile_token: str
    database_url: str


class Describer:
    """A builder of the description that reads constant parts only once."""

    def __init__(
        self, *, base_url: str, api_url: str | None, database_url: str, redis_url: str
    ) -> None:
        self._fixed = {"base_url": base_url, "database_url": database_url, "redis_url": redis_url}
        self._api_url = api_url
        self._known: dict[str, DescribedProject] = {}

    def describe(self) -> dict[str, object]:
        """Describe the current state."""
        projects = Project.objects.active().select_related("server").order_by("created_at")
        return {
            **self._fixed,
            "accounts": [
                {"email": person.email, "password": demo_password(), "role": person.role}
                for person in PEOPLE
            ],
            "projects": [found for project in projects if (found := self._project(project))],
        }

    def _project(self, project: Project) -> DescribedProject | None:
        """Describe a project; None if its server has never responded."""
        try:
            return self._read(project)
        except psycopg.OperationalError:
            return None

    def _read(self, project: Project) -> DescribedProject:
        key = str(project.id)
        if key not in self._known:
            self._known[key] = {
                "id": key,
                "slug": project.slug,
                "name": project.name,
                "api_url": self._api_url,
                "profile_token": profile_token(project_dsn(project)),
                "database_url": project_dsn(project),
            }
        return {**self._known[key], "slug": project.slug, "name": project.name}


def profile_token(dsn: str) -> str:
    """Return a profile token with full permission, creating one if missing."""
    with pgsession.connect(dsn) as connection:
        row = connection.execute(
            f"""SELECT {SEALED} FROM token
                WHERE kind = 'profile' AND permission = 'full' AND expires_at IS NULL
                ORDER BY id LIMIT 1"""  # noqa: S608 - a constant
        ).fetchone()
        if row:
            return reveal(*row, keys=keyring())
        return create_token(
            connection, TokenGrant("profile", name=TOKEN_NAME), keys=keyring()
        ).value
