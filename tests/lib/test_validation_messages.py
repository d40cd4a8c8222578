"""Every validation error of both APIs is a readable sentence."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from backups_portal.lib.validation_messages import OTHERWISE, name_of, sentence
from backups_portal.portal_api import record_schemas, schemas
from backups_portal.tagoio_api import routes

LIBRARY = re.compile(
    r"input|field required|should|valid|string|value error|pattern|[{}^\[\]]", re.I
)
JUNK: tuple[Any, ...] = (
    *(None, 7, -1, 1.5, 10**30, float("inf"), True, "", "nowhere", "x" * 200_000, "\0", "\ud800"),
    *([], [7], [[]], [{}], [None] * 200, {}, {"a": {}}, "2026-13-01", "2026-01-01T00:00:00"),
    [{"key": 7, "value": 7}],
)


def models() -> Iterator[type[BaseModel]]:
    modules = [
        importlib.import_module(f"{routes.__name__}.{one.name}")
        for one in pkgutil.iter_modules(routes.__path__)
    ]
    for module in (*modules, schemas, record_schemas):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, BaseModel) and value.model_fields:
                yield value


def errors_of(model: type[BaseModel]) -> Iterator[Any]:
    bodies: list[Any] = [*JUNK, {}, *({name: junk} for name in model.model_fields for junk in JUNK)]
    for body in bodies:
        try:
            model.model_validate(body)
        except ValidationError as error:
            yield from error.errors()


@pytest.mark.parametrize("model", sorted(set(models()), key=str), ids=lambda one: one.__name__)
def test_every_error_is_a_sentence(model: type[BaseModel]) -> None:
    seen = 0
    for error in errors_of(model):
        said = sentence(error, error["loc"])
        assert said[0].isupper(), said
        assert OTHERWISE not in said, (error["type"], said)
        assert len(said) < 200, said
        # Names of fields are the API's own words.
        names = {str(part).replace("_", " ") for part in error["loc"]}
        plain = said.lower()
        # So are the values that a field may have.
        names.update(re.findall(r"'(\w+)'", str(error.get("ctx", {}).get("expected", ""))))
        for name in names:
            plain = plain.replace(name.lower(), "")
        assert not LIBRARY.search(plain), said
        seen += 1
    assert seen


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (("chunk_retention",), "Chunk retention"),
        (("tags", 0, "key"), "Key of entry 1 of tags"),
        ((), "The body"),
    ],
)
def test_a_place_has_a_name(path: tuple[int | str, ...], name: str) -> None:
    assert name_of(path) == name
