"""Writing dictionaries: texts of the portal of a project's people, by language."""

from collections.abc import Mapping
from typing import Any

from psycopg import Connection

from backups_portal.projectdb.resources import create


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
