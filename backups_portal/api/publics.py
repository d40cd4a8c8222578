"""The network and the connector that every project knows without having made them.

Clients look for one before they create a device, and scripts have these two ids written in them:
they are those of devices that send by HTTPS. They are in no project's database, nor in backups.
"""

from dataclasses import replace

from backups_portal.api import queries
from backups_portal.api.crud import Doing, read_resource
from backups_portal.api.identity import Caller
from backups_portal.api.kinds import Kind, Row
from backups_portal.api.listing import asked_fields, list_resources, only

NETWORK: Row = {
    "id": "5bbd0d144051a50034cd19fb",
    "name": "HTTPS",
    "tags": [],
    "description": "Devices that send their data by HTTPS",
    "public": True,
}
CONNECTOR: Row = {
    "id": "5f5a8f3351d4db99c40dece5",
    "name": "Custom HTTPS",
    "tags": [],
    "description": "Devices that send their data by HTTPS",
    "networks": [NETWORK["id"]],
    "public": True,
}


def with_public(kind: Kind, public: Row, doing: Doing) -> Doing:
    """Lists and reads of a kind that tell of its public object too."""

    def list_(caller: Caller, query: queries.Parsed) -> list[Row]:
        rows = list_resources(caller.connection, kind, query)
        if not _is_wanted(query, public):
            return rows
        return [only(public, asked_fields(kind, query)), *rows]

    def read(caller: Caller, resource_id: str) -> Row:
        if resource_id == public["id"]:
            return public
        return read_resource(caller, kind, resource_id)

    return replace(doing, list=list_, read=read)


def _is_wanted(query: queries.Parsed, public: Row) -> bool:
    """On the first page, where no filter or its own id is asked for.

    `filter[public]`, whatever its value, means: leave the public ones out.
    """
    asked = query.get("filter")
    if asked:
        wanted = isinstance(asked, dict) and public["id"] in queries.texts(asked.get("id"))
        if not wanted:
            return False
    return queries.text(query.get("page")) in (None, "0", "1")
