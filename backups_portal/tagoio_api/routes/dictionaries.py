"""Serve dictionaries: texts by key in several languages."""

from ninja import Router
from psycopg.types.json import Jsonb
from pydantic import BaseModel, Field

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.stored_json import as_object
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.envelope import ApiError, NotFoundError
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.json_bodies import Body, Named, changes_of
from backups_portal.tagoio_api.resources.crud import (
    REMOVED,
    UPDATED,
    Overrides,
    add_routes,
    create_resource,
    edit_resource,
    read_resource,
)
from backups_portal.tagoio_api.resources.resource_kinds import Kind, Row
from backups_portal.tagoio_api.resources.resource_list import asked_fields, list_resources


class Language(BaseModel):
    """A language of a dictionary; its texts are stored separately."""

    code: str = Field(min_length=1, max_length=35)
    active: bool = True


class NewDictionary(Named):
    """A dictionary; texts refer to it by its slug."""

    slug: str = Field(min_length=1, max_length=1000)
    fallback: str | None = Field(None, max_length=35)
    languages: list[Language] = []


ChangedDictionary = changes_of(
    NewDictionary,
    "ChangedDictionary",
    "The fields of a dictionary to change.",
    clearable=("fallback",),
)


class Texts(Body):
    """A language's texts by key; without `dictionary` they do not change."""

    dictionary: JsonObject | None = None
    active: bool | None = None


DICTIONARY = Kind(
    title="Dictionary",
    table="dictionary",
    created="dictionary",
    listed=("id", "name", "slug", "languages"),
    filters={"slug": "text", "fallback": "text"},
    shape=lambda row: {"tags": [], **row},
    taken="There is already a dictionary with the slug {slug}",
)


def _list(caller: Caller, query: query_strings.Parsed) -> list[Row]:
    rows = list_resources(caller.connection, DICTIONARY, query)
    if "languages" in asked_fields(DICTIONARY, query):
        languages = _languages(caller, [row["id"] for row in rows])
        rows = [{**row, "languages": languages.get(row["id"], [])} for row in rows]
    return rows


def _languages(caller: Caller, ids: list[str]) -> dict[str, list[Row]]:
    rows = caller.connection.execute(
        """SELECT dictionary_id, code, active FROM dictionary_language
           WHERE dictionary_id = ANY(%s) ORDER BY dictionary_id, code""",
        [ids],
    )
    found: dict[str, list[Row]] = {}
    for dictionary_id, code, active in rows:
        found.setdefault(dictionary_id, []).append({"code": code, "active": active})
    return found


def _create(caller: Caller, values: Row) -> Row:
    languages = values.pop("languages", [])
    with caller.connection.transaction():
        answer = create_resource(caller, DICTIONARY, values)
        _put_languages(caller, answer["dictionary"], languages)
    return answer


def _edit(caller: Caller, known: str, values: Row) -> None:
    languages = values.pop("languages", [])
    with caller.connection.transaction():
        dictionary_id = _id_of(caller, known)
        edit_resource(caller, DICTIONARY, dictionary_id, values)
        _put_languages(caller, dictionary_id, languages)


def _read(caller: Caller, known: str) -> Row:
    dictionary_id = _id_of(caller, known)
    shown = read_resource(caller, DICTIONARY, dictionary_id)
    return {**shown, "languages": _languages(caller, [dictionary_id]).get(dictionary_id, [])}


def _put_languages(caller: Caller, dictionary_id: str, languages: list[Row]) -> None:
    for language in languages:
        _put_language(caller, dictionary_id, language["code"], language.get("active"), None)


def _put_language(
    caller: Caller, dictionary_id: str, code: str, active: bool | None, texts: Row | None
) -> None:
    """Create or change a language; None keeps the old or default value."""
    caller.connection.execute(
        """INSERT INTO dictionary_language AS old (dictionary_id, code, active, texts)
           VALUES (%(id)s, %(code)s, coalesce(%(active)s::boolean, true),
                   coalesce(%(texts)s::jsonb, '{}'))
           ON CONFLICT (dictionary_id, code) DO UPDATE
           SET active = coalesce(%(active)s::boolean, old.active),
               texts = coalesce(%(texts)s::jsonb, old.texts)""",
        {
            "id": dictionary_id,
            "code": code,
            "active": active,
            "texts": None if texts is None else Jsonb(texts),
        },
    )


def _id_of(caller: Caller, known: str) -> str:
    """Find the id of the dictionary with this id or slug.

    Raises:
        ApiError: the project has no such dictionary.
    """
    row = caller.connection.execute(
        "SELECT id::text FROM dictionary WHERE id = %(known)s OR slug = %(known)s"
        " ORDER BY id = %(known)s DESC LIMIT 1",
        {"known": known},
    ).fetchone()
    if row is None:
        raise DICTIONARY.not_found
    return str(row[0])


router = Router(tags=["Dictionaries"])
add_routes(
    router,
    DICTIONARY,
    "/dictionary",
    body=NewDictionary,
    changes=ChangedDictionary,
    overrides=Overrides(list=_list, create=_create, read=_read, edit=_edit),
)
ONE = "/dictionary/{known}/{code}"


@router.get(ONE, auth=profile, summary="Read the texts of a language")
def read_language(request: ApiRequest, known: str, code: str, fallback: str = "") -> JsonObject:
    """Read the texts by key; with `fallback=true`, the fallback's if missing."""
    caller = request.auth
    also = fallback.lower() in query_strings.TRUE
    row = caller.connection.execute(
        """SELECT texts FROM dictionary_language AS language
           JOIN dictionary ON dictionary.id = dictionary_id
           WHERE dictionary_id = %s AND (code = %s OR (%s AND code = dictionary.fallback))
           ORDER BY code = %s DESC LIMIT 1""",
        [_id_of(caller, known), code, also, code],
    ).fetchone()
    if row is None:
        raise NotFoundError("Language")
    return as_object(row[0])


@router.put(ONE, auth=profile, summary="Create or replace the texts of a language")
def put_language(request: ApiRequest, known: str, code: str, body: Texts) -> str:
    """Replace all texts of a language, if any are given."""
    caller = request.auth
    if len(code) > 35:
        raise ApiError("A language code has at most 35 characters")
    with caller.connection.transaction():
        _put_language(caller, _id_of(caller, known), code, body.active, body.dictionary)
    return UPDATED


@router.delete(ONE, auth=profile, summary="Delete a language")
def delete_language(request: ApiRequest, known: str, code: str) -> str:
    """Delete a language with its texts."""
    caller = request.auth
    statement = "DELETE FROM dictionary_language WHERE dictionary_id = %s AND code = %s"
    caller.change("Language", statement, [_id_of(caller, known), code])
    return REMOVED
