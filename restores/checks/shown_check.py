"""A check as a page showed it, so that a form can tell what became of it meanwhile."""

from dataclasses import asdict, dataclass, field, fields
from typing import Self

from django.core import signing

from restores.models import Check

SALT = "shown-check"


@dataclass(frozen=True)
class ShownCheck:
    """What an owner chose of a check; a new name of its device makes no difference."""

    kind: str
    device_id: str
    variable: str
    hours: int | None
    at_least: int | None
    low: float | None
    high: float | None
    device_name: str = field(compare=False)

    @classmethod
    def of(cls, check: Check) -> Self:
        """Return a check as it is now."""
        return cls(**{one.name: getattr(check, one.name) for one in fields(cls)})

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what a form sends back; None if no page of ours has it."""
        try:
            return cls(**signing.loads(text, salt=SALT))
        except (signing.BadSignature, TypeError):
            return None

    def __str__(self) -> str:
        """Return it for a form, which cannot make up another one."""
        return signing.dumps(asdict(self), salt=SALT)

    @property
    def sentence(self) -> str:
        """Return in words what was checked."""
        return Check(**asdict(self)).sentence
