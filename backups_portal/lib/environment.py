"""The environment that settings are read from, literally and strictly.

django-environ is lenient: a value that begins with a dollar sign is another variable's name, blanks
stay in lists, and any word that is not "yes" means no. Here a value is taken literally, and one
that makes no sense keeps the portal from starting.
"""

import builtins
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

from backups_portal.lib.addresses.url import AddressError
from backups_portal.lib.currencies import digits_of

TRUE, FALSE = ("1", "true", "yes", "on", "y", "ok"), ("0", "false", "no", "off", "n")
# A line of a .env file, as django-environ parses it.
ASSIGNMENT = re.compile(r"(?:export )?[A-Za-z_0-9]+=.*")
# About 30 years in seconds, which can be added to today without overflow.
MAX_NUMBER = 1_000_000_000
# The limits of a charge's amount.
MAX_MONEY, MAX_DIGITS = 10**8, 4
Value = TypeVar("Value")


class Variables(FileAwareMapping):
    """The environment, where NAME_FILE may name a file with the value of NAME."""

    def __getitem__(self, key: str) -> str:
        try:
            # Editors end a file with a line break, which is not part of a password.
            return str(super().__getitem__(key)).strip()
        except OSError as error:
            why = f"{error.filename}: {error.strerror}"
            raise ImproperlyConfigured(
                f"{key}_FILE names a file that cannot be read: {why}."
            ) from None
        except UnicodeDecodeError:
            raise ImproperlyConfigured(f"{key}_FILE names a file that is not UTF-8 text.") from None


class Environment(environ.Env):
    """django-environ's reader, literal and strict.

    An empty value counts as unset, so the default applies. A list may be empty.

    Raises:
        ImproperlyConfigured: a value makes no sense; the message names the setting and the cure,
            and repeats nothing that may be secret.
    """

    ENVIRON = Variables(cache=False)

    def get_value(
        self,
        var: str,
        cast: Any = None,
        default: Any = environ.Env.NOTSET,
        parse_default: builtins.bool = False,
    ) -> Any:
        """Read a value literally, including a leading dollar sign."""
        value = self.ENVIRON.get(var)
        if value is None:
            if default is self.NOTSET:
                raise ImproperlyConfigured(f"{var} is not set.")
            return default
        return value

    def bool(self, var: str, default: builtins.bool = False) -> builtins.bool:
        """Read a yes or no."""
        value = str(self.get_value(var, default="")).lower()
        if value and value not in TRUE + FALSE:
            raise ImproperlyConfigured(f"{var} is neither 1 nor 0: write 1 for yes or 0 for no.")
        return value in TRUE if value else default

    def int(
        self,
        var: str,
        default: builtins.int = 0,
        least: builtins.int = 0,
        most: builtins.int = MAX_NUMBER,
    ) -> builtins.int:
        """Read a whole number."""
        value = self.get_value(var, default="")
        return _whole(var, value, least, most) if value else default

    def list(
        self, var: str, cast: Callable[[str], Any] | None = None, default: Any = ()
    ) -> builtins.list[Any]:
        """Read comma-separated values, without blanks around them.

        `cast=int` reads whole numbers.
        """
        value = self.get_value(var, default=None)
        if value is None:
            return builtins.list(default)
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if cast is builtins.int:
            return [_whole(var, part, 0, MAX_NUMBER) for part in parts]
        return [checked(var, cast, part) for part in parts] if cast else parts

    def required(self, var: str, cure: str) -> str:
        """Read a value that has no safe default; the cure says how to set it."""
        value = str(self.get_value(var, default=""))
        if not value:
            raise ImproperlyConfigured(f"{var} is not set. {cure}")
        return value

    def address(self, var: str, parse: Callable[[str], Value], default: str = "") -> Value:
        """Parse an address, or the default if it is unset; see `checked`."""
        return checked(var, parse, self.get_value(var, default="") or default)

    def decimal(self, var: str, default: str, *, currency: str = "") -> Decimal:
        """Read an amount of money, zero or more.

        Args:
            currency: Limits the decimal places to those of an amount that can be paid.
        """
        places = digits_of(currency) if currency else MAX_DIGITS
        value = self.get_value(var, default="") or default
        try:
            amount = Decimal(value)
        except InvalidOperation:
            amount = Decimal("NaN")
        if not amount.is_finite() or not 0 <= amount < MAX_MONEY or amount != round(amount, places):
            raise ImproperlyConfigured(f"{var} is not an amount: write one such as {default}.")
        return amount

    def one_of(self, var: str, default: str, choices: Sequence[str]) -> str:
        """Read one of a few words."""
        value = self.get_value(var, default="") or default
        if value not in choices:
            raise ImproperlyConfigured(f"{var} must be one of {', '.join(choices)}.")
        return str(value)

    def read_file(self, file: Path) -> None:
        """Read variables from a .env file, unless the environment has them.

        Raises:
            ImproperlyConfigured: a line is not an assignment.
        """
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            said = line.strip()
            if said and not said.startswith("#") and not ASSIGNMENT.fullmatch(line):
                raise ImproperlyConfigured(
                    f"Line {number} of {file.name} is neither NAME=value nor a # comment."
                )
        self.read_env(file)


def checked(var: str, parse: Callable[[str], Value], value: str) -> Value:
    """Parse a setting's value.

    Raises:
        ImproperlyConfigured: `parse` refuses the value; the message names the setting.
    """
    try:
        return parse(value)
    except AddressError as error:
        raise ImproperlyConfigured(f"{var}: {error}") from None


def _whole(var: str, value: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", value) or not least <= int(value) <= most:
        raise ImproperlyConfigured(f"{var} must be a whole number from {least} to {most}.")
    return int(value)
