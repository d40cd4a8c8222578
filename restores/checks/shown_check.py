"""A check as a page showed it, for its form to detect later changes."""

from dataclasses import asdict, dataclass, field, fields
from typing import Self

from django.core import signing

from restores.models import Check

SALT = "shown-check"


@dataclass(frozen=True)
class ShownCheck:
    """What an owner chose of a check; renaming its device changes nothing."""

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
        """Parse what a form sends back; None if we did not sign it."""
        try:
            return cls(**signing.loads(text, salt=SALT))
        except (signing.BadSignature, TypeError):
            return None

    def __str__(self) -> str:
        """Sign and serialize it for a form, which cannot forge another one."""
        return signing.dumps(asdict(self), salt=SALT)

    @property
    def sentence(self) -> str:
        """Return the check in words."""
        return Check(**asdict(self)).sentence
