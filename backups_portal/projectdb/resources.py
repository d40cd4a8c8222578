"""Writing the resources of a project: devices, dashboards, analyses and all the others."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.projectdb.tokens import NewToken, create_token
from backups_portal.projectdb.variables import delete_of_device

SECRET_PURPOSE = "secret"  # noqa: S105 - names what is sealed, is no secret


class UnknownResourceError(ValueError):
    """There is no such kind of resource, or it has no such column."""


def create(connection: Connection[Any], table: str, **values: Any) -> str:
    """Insert one resource; returns its id, a new one unless it was given.

    Lists and objects are stored as JSON.

    Raises:
        UnknownResourceError: the table or a column is not in the catalogue.
        psycopg.IntegrityError: a constraint refuses it.
    """
    known = BY_NAME.get(table)
    if known is None or not values.keys() <= set(known.columns) | {"id"}:
        raise UnknownResourceError(f"{table} has no columns {sorted(values)}")
    if "id" in known.columns:
        values = {"id": new_resource_id(), **values}
    insert(connection, table, values)
    return str(values.get("id", ""))


def insert(connection: Connection[Any], table: str, values: Mapping[str, Any]) -> None:
    """Insert one row; the caller answers for the names."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, values)),
        sql.SQL(", ").join([sql.Placeholder()] * len(values)),
    )
    connection.execute(
        statement,
        [Jsonb(value) if isinstance(value, dict | list) else value for value in values.values()],
    )


def create_device(
    connection: Connection[Any],
    *,
    keys: Keyring,
    name: str,
    parameters: Sequence[tuple[str, str, bool]] = (),
    serie_number: str | None = None,
    **values: Any,
) -> tuple[str, NewToken]:
    """A device with its configuration parameters and its first token, called Default.

    Args:
        parameters: (key, value, sent) each.
        values: Further columns of the device; `type` is mutable unless it says otherwise.

    Raises:
        UnknownResourceError: a column is not a device's.
        psycopg.IntegrityError: such as an immutable device without chunk period and retention.
    """
    with connection.transaction():
        device_id = create(connection, "device", **{"name": name, "type": "mutable", **values})
        for key, value, sent in parameters:
            create(
                connection,
                "device_parameter",
                device_id=device_id,
                key=key,
                value=value,
                sent=sent,
            )
        token = create_token(
            connection,
            keys=keys,
            kind="device",
            name="Default",
            device_id=device_id,
            serie_number=serie_number,
        )
    return device_id, token


def delete_device(connection: Connection[Any], device_id: str) -> bool:
    """Delete a device with its records, parameters and tokens; False where there is none."""
    with connection.transaction():
        delete_of_device(connection, device_id)
        return connection.execute("DELETE FROM device WHERE id = %s", [device_id]).rowcount > 0


def create_analysis(
    connection: Connection[Any], *, keys: Keyring, name: str, **values: Any
) -> tuple[str, NewToken]:
    """An analysis and its token; the script is uploaded apart."""
    with connection.transaction():
        analysis_id = create(connection, "analysis", name=name, **values)
        token = create_token(
            connection, keys=keys, kind="analysis", name=name, analysis_id=analysis_id
        )
    return analysis_id, token


def upload_script(
    connection: Connection[Any],
    *,
    analysis_id: str,
    file_name: str,
    content: bytes,
    language: str = "node",
) -> int:
    """Store the next version of an analysis' script; returns its number, from 1."""
    row = connection.execute(
        """INSERT INTO analysis_script (analysis_id, version, file_name, language, content)
           SELECT %(id)s::resource_id, coalesce(max(version), 0) + 1, %(file_name)s,
                  %(language)s, %(content)s
           FROM analysis_script WHERE analysis_id = %(id)s::resource_id RETURNING version""",
        {"id": analysis_id, "file_name": file_name, "language": language, "content": content},
    ).fetchone()
    return int(row[0]) if row else 0


def write_console(connection: Connection[Any], analysis_id: str, messages: Sequence[str]) -> None:
    """Append lines to the console of an analysis."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO analysis_console (analysis_id, message) VALUES (%s, %s)",
            [(analysis_id, message) for message in messages],
        )


def create_dashboard(
    connection: Connection[Any],
    *,
    label: str,
    widgets: Sequence[Mapping[str, Any]] = (),
    **values: Any,
) -> str:
    """A dashboard with widgets, placed one below the other."""
    with connection.transaction():
        dashboard_id = create(connection, "dashboard", label=label, **values)
        places = []
        for row, settings in enumerate(widgets):
            widget_id = create(
                connection, "widget", dashboard_id=dashboard_id, settings=dict(settings)
            )
            places.append({"widget_id": widget_id, "x": 0, "y": row, "width": 4, "height": 2})
        connection.execute(
            "UPDATE dashboard SET arrangement = %s WHERE id = %s", [Jsonb(places), dashboard_id]
        )
    return dashboard_id


def create_dictionary(
    connection: Connection[Any],
    *,
    name: str,
    slug: str,
    languages: Mapping[str, Mapping[str, str]],
    **values: Any,
) -> str:
    """A dictionary and its texts by language and key."""
    with connection.transaction():
        dictionary_id = create(connection, "dictionary", name=name, slug=slug, **values)
        for code, texts in languages.items():
            create(
                connection,
                "dictionary_language",
                dictionary_id=dictionary_id,
                code=code,
                texts=dict(texts),
            )
    return dictionary_id


def create_secret(connection: Connection[Any], *, keys: Keyring, key: str, value: str) -> str:
    """A secret; its value is sealed with the installation's key."""
    return create(
        connection,
        "secret",
        key=key,
        sealed_value=keys.seal(value, SECRET_PURPOSE),
        value_length=len(value),
    )


def put_file(
    connection: Connection[Any],
    *,
    path: str,
    content: bytes,
    content_type: str = "application/octet-stream",
    public: bool = False,
) -> None:
    """Store an uploaded file; one of the same path is replaced."""
    connection.execute(
        """INSERT INTO file (path, content_type, size, md5, public, content)
           VALUES (%s, %s, %s, %s, %s, %s)
           ON CONFLICT (path) DO UPDATE SET content_type = excluded.content_type,
               size = excluded.size, md5 = excluded.md5, public = excluded.public,
               content = excluded.content, updated_at = now()""",
        [
            path.lstrip("/"),
            content_type,
            len(content),
            hashlib.md5(content, usedforsecurity=False).hexdigest(),
            public,
            content,
        ],
    )


def attach_file(
    connection: Connection[Any], *, device_id: str, name: str, content: bytes, content_type: str
) -> str:
    """Store a file attached to a device's records; returns the id that metadata refers to."""
    attachment_id = new_resource_id()
    insert(
        connection,
        "attachment",
        {
            "id": attachment_id,
            "device_id": device_id,
            "name": name,
            "content_type": content_type,
            "size": len(content),
            "content": content,
        },
    )
    return attachment_id
