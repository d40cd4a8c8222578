"""Write dictionaries: a project's texts by language."""

from collections.abc import Mapping

from psycopg import Connection

from backups_portal.projectdb.resource_writer import create


def create_dictionary(
    connection: Connection,
    *,
    name: str,
    slug: str,
    languages: Mapping[str, Mapping[str, str]],
    **values: object,
) -> str:
    """Make a dictionary and its texts by language and key."""
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
