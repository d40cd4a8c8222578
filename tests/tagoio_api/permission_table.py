"""The calls of the projects' API: required right, accepted tokens, and a valid body."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from backups_portal.projectdb.catalogue import TABLES
from backups_portal.projectdb.tokens import SEALED, reveal
from backups_portal.projects.database_dsn import keyring
from tests.projectdatabases import Connection

# Everything that requires the right to read contains this.
MARK = "sunflower-marker"
READ, WRITE, DELETE, FULL = "read", "write", "delete", "full"
# These need no token: the address contains one, or the body a password.
OPEN = "open"
UNCOUNTED = {"change_mark", "analysis_console"}
COUNT = " UNION ALL ".join(
    f"SELECT '{table.name}', count(*) FROM {table.name}"
    for table in TABLES
    if table.name not in UNCOUNTED
)


@dataclass
class World:
    """One object of every kind in a project, by the name of its id's parameter."""

    connection: Connection
    ids: dict[str, str]
    known: dict[bytes, str] = field(default_factory=dict)

    def tokens(self) -> dict[str, str]:
        """Return each token's permission by its value."""
        rows = self.connection.execute(f"SELECT {SEALED}, permission FROM token").fetchall()
        return {
            self._value(bytes(sealed), str(prefix)): str(permission)
            for sealed, prefix, permission in rows
        }  # type: ignore[arg-type]

    def _value(self, sealed: bytes, prefix: str) -> str:
        if sealed not in self.known:
            self.known[sealed] = reveal(sealed, prefix, keys=keyring())
        return self.known[sealed]

    def counts(self) -> dict[str, int]:
        """Return the number of rows in each table."""
        return dict(self.connection.execute(COUNT, prepare=True).fetchall())  # type: ignore[arg-type]

    def published(self) -> list[str]:
        """Return public files whose source requires the right to read."""
        rows = self.connection.execute(
            "SELECT path FROM file WHERE public AND convert_from(content, 'UTF8') LIKE %s",
            [f"%{MARK}%"],
        )
        return [str(path) for (path,) in rows.fetchall()]


@dataclass(frozen=True)
class Call:
    """One method of one address: required right, accepted tokens, and a valid body."""

    right: str
    body: Callable[[World], Any] = field(default=lambda world: {})
    kinds: tuple[str, ...] = ("profile", "analysis")
    query: str = ""


def sending(**body: Any) -> Callable[[World], Any]:
    return lambda world: body


def crud(body: dict[str, Any]) -> tuple[dict[str, Call], dict[str, Call]]:
    """Return the calls of a collection, and those of one of its objects."""
    whole = {"id": "0" * 24, "token": "x", "permission": "full", **body}
    return (
        {"GET": Call(READ), "POST": Call(WRITE, sending(**whole))},
        {"GET": Call(READ), "PUT": Call(WRITE, sending(**whole)), "DELETE": Call(DELETE)},
    )


def moved(world: World) -> Any:
    return [{"from": "private.txt", "to": "elsewhere.txt"}]


OF_DEVICE = ("device",)
RECORD = [{"variable": "temperature", "value": 1}]
TABLE: dict[str, dict[str, Call]] = {
    "status": {"GET": Call(OPEN)},
    "info": {"GET": Call(READ, kinds=("profile", "analysis", "device"))},
    "device/params": {"GET": Call(READ, kinds=OF_DEVICE)},
    "device/params/<parameter_id>": {"PUT": Call(WRITE, kinds=OF_DEVICE)},
    "device/<device_id>/params": {"GET": Call(READ), "POST": Call(WRITE, lambda world: [])},
    "device/<device_id>/params/<parameter_id>": {"DELETE": Call(DELETE)},
    "device/token/<value>": {
        "GET": Call(READ, query="fields=token&fields=permission"),
        "DELETE": Call(DELETE),
    },
    "device/token": {"POST": Call(WRITE, lambda world: {"device": world.ids["device_id"]})},
    "data": {
        "GET": Call(READ, kinds=OF_DEVICE),
        "POST": Call(WRITE, lambda world: RECORD, kinds=OF_DEVICE),
        "PUT": Call(WRITE, lambda world: [], kinds=OF_DEVICE),
        "DELETE": Call(DELETE, kinds=OF_DEVICE),
    },
    "device/<device_id>/data": {
        "GET": Call(READ),
        "POST": Call(WRITE, lambda world: RECORD),
        "PUT": Call(WRITE, lambda world: []),
        "DELETE": Call(DELETE),
    },
    "device/<device_id>/data_amount": {"GET": Call(READ)},
    "bucket/<device_id>/data_amount": {"GET": Call(READ)},
    "device/<device_id>/empty": {"POST": Call(DELETE)},
    "device/<device_id>/data/backup": {"POST": Call(WRITE)},
    "device/<device_id>/chunk/backup": {"POST": Call(WRITE)},
    "device/<device_id>/chunk/copy": {"POST": Call(WRITE)},
    "device/<device_id>/data/restore": {"POST": Call(WRITE)},
    "device/<device_id>/chunk": {"GET": Call(READ)},
    "device/<device_id>/chunk/<chunk_id>": {"DELETE": Call(DELETE)},
    "device/<device_id>/convert": {"POST": Call(WRITE)},
    "device/<device_id>/statistics": {"GET": Call(READ)},
    "account/login": {"POST": Call(OPEN)},
    "account/profile/token": {"POST": Call(OPEN)},
    "account": {"GET": Call(READ), "PUT": Call(WRITE)},
    "profile/<profile_id>/token": {"GET": Call(READ), "POST": Call(WRITE)},
    "profile/<profile_id>/token/<token>": {"DELETE": Call(DELETE)},
    "profile/<profile_id>/backup": {"GET": Call(READ), "POST": Call(WRITE)},
    "profile/<profile_id>/backup/<backup_id>/download": {"POST": Call(WRITE)},
    "backups/<signed>": {"GET": Call(OPEN)},
    "profile": {"GET": Call(READ), "POST": Call(WRITE)},
    "profile/<profile_id>": {"GET": Call(READ), "PUT": Call(WRITE)},
    "profile/<profile_id>/summary": {"GET": Call(READ)},
    "profile/<profile_id>/statistics": {"GET": Call(READ)},
    "analysis/services/console/send": {
        "POST": Call(WRITE, sending(message="x"), kinds=("analysis",))
    },
    "analysis/services/email/send": {
        "POST": Call(WRITE, sending(to="a@example.com", message="x"), kinds=("analysis",))
    },
    "analysis/services/<service>/<verb>": {"POST": Call(WRITE, kinds=("analysis",))},
    "analysis/<analysis_id>/upload": {
        "POST": Call(WRITE, sending(file=base64.b64encode(b"x").decode()))
    },
    "analysis/<analysis_id>/download": {"GET": Call(READ)},
    "scripts/<signed>": {"GET": Call(OPEN)},
    "analysis/<analysis_id>/run": {"POST": Call(WRITE, sending(scope=[]))},
    "analysis/<analysis_id>/token": {"GET": Call(FULL)},
    "dashboard/<dashboard_id>/widget": {"POST": Call(WRITE, sending(label="W"))},
    "dashboard/<dashboard_id>/widget/<widget_id>": {
        "GET": Call(READ),
        "PUT": Call(WRITE, sending(label="W")),
        "DELETE": Call(DELETE),
    },
    "dictionary/<known>/<code>": {
        "GET": Call(READ),
        "PUT": Call(WRITE, sending(active=True)),
        "DELETE": Call(DELETE),
    },
    "entity/<entity_id>/schema": {"PUT": Call(WRITE, sending(schema={}))},
    "entity/<entity_id>/data": {
        "GET": Call(READ),
        "POST": Call(WRITE, lambda world: {"plate": "new"}),
        "PUT": Call(WRITE, lambda world: []),
        "DELETE": Call(DELETE, lambda world: {"ids": []}),
    },
    "entity/<entity_id>/data_amount": {"GET": Call(READ)},
    "entity/<entity_id>/empty": {"POST": Call(DELETE)},
    "files": {
        "GET": Call(READ),
        "POST": Call(WRITE, lambda world: [{"filename": "n", "file": "eA==", "public": True}]),
        "PUT": Call(WRITE, moved),
        "DELETE": Call(DELETE, lambda world: ["public.txt"]),
    },
    "files/copy": {"PUT": Call(WRITE, lambda world: [{"from": "private.txt", "to": "public.txt"}])},
    "files/permission": {
        "GET": Call(READ, query="file=public.txt"),
        "PUT": Call(FULL, lambda world: [{"file": "private.txt", "public": True}]),
    },
    "file/<profile_id>/<path:path>": {"GET": Call(OPEN)},
    "shared/<signed>": {"GET": Call(OPEN)},
    # Without a channel, since an answer would never end.
    "events": {"GET": Call(READ, kinds=("profile", "analysis", "device"))},
    "run": {"GET": Call(READ), "PUT": Call(WRITE, sending(sub_title="x"))},
    "run/users/<user_id>/login": {"GET": Call(READ)},
    "integration/network/token/<value>": {"GET": Call(READ), "DELETE": Call(DELETE)},
    "integration/network/token": {"POST": Call(WRITE)},
    "tags/keys/<kind>": {"GET": Call(READ)},
}
for path, body in {
    "device": {"name": "D", "serie_number": "7"},
    "analysis": {"name": "A", "run_on": "external"},
    "dashboard": {"label": "L"},
    "action": {"name": "N"},
    "am": {"name": "N"},
    "dictionary": {"name": "N", "slug": "NEW"},
    "entity": {"name": "N"},
    "run/users": {"name": "N", "email": "n@example.com", "password": "p"},
    "secrets": {"key": "NEW", "value": "v"},
    "integration/network": {"name": "N"},
    "integration/connector": {"name": "N"},
}.items():
    TABLE[path], TABLE[f"{path}/<resource_id>"] = crud(body)
