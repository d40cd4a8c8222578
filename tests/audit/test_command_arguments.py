"""One thing has one name and one form in the arguments of all commands."""

import re
from argparse import Action, ArgumentParser, _SubParsersAction
from collections import defaultdict
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from django.core.management.base import BaseCommand

from tests.audit.test_operator_command import commands

DOCS = Path(__file__).parents[2] / ".github/docs/commands.md"
DJANGOS = {action.dest for action in BaseCommand().create_parser("manage.py", "any")._actions}


def parts(parser: ArgumentParser, name: str) -> Iterator[tuple[str, list[Action]]]:
    """A command, or each of its parts, with its own arguments."""
    mine = [action for action in parser._actions if action.dest not in DJANGOS]
    inner = [action for action in mine if isinstance(action, _SubParsersAction)]
    for action in inner:
        for part, its in action.choices.items():
            yield from parts(its, f"{name} {part}")
    if not inner:
        yield name, mine


ARGUMENTS = {
    part: arguments
    for name, command in commands().items()
    if name != "demo"
    for part, arguments in parts(command.create_parser("manage.py", name), name)
}


def key(action: Action) -> str:
    return action.option_strings[0] if action.option_strings else action.dest


def test_what_has_one_name_has_one_form() -> None:
    forms = defaultdict(set)
    for arguments in ARGUMENTS.values():
        for one in arguments:
            kind = getattr(one.type, "__name__", "text") if one.nargs != 0 else "flag"
            forms[key(one)].add((one.metavar, kind))
    assert {name: found for name, found in forms.items() if len(found) > 1} == {}


def test_no_name_is_short_for_one_of_another_command() -> None:
    """As --out was for --output."""
    options = {
        (part, key(one))
        for part, arguments in ARGUMENTS.items()
        for one in arguments
        if one.option_strings
    }
    clashes = {
        (short, long)
        for (of_short, short), (of_long, long) in permutations(options, 2)
        if of_short != of_long and short != long and long.startswith(short)
    }
    # The zone of that time.
    assert clashes - {("--time", "--time-zone")} == set()


@pytest.mark.parametrize("part", ARGUMENTS)
def test_the_manual_and_the_help_name_the_same(part: str) -> None:
    positional = [one for one in ARGUMENTS[part] if not one.option_strings]
    named = [str(one.metavar or one.dest) for one in positional if not one.choices]
    # The first part has the command's name before it: `database_servers list`, `add NAME`.
    words = part.replace("database_servers ", "(?:database_servers )?")
    row = rf"^\| (?:[^|]*?, )??`{words}((?: [A-Z]+)*)[ `]"
    (said,) = re.findall(row, DOCS.read_text(), flags=re.MULTILINE)
    assert said.split() == named
