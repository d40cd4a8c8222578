"""Create the demo's accounts, one per role in the seeded projects."""

import os
from dataclasses import dataclass

from backups_portal.accounts.models import Account

# Set by the bootstrap from the data folder; every demo account has this password.
PASSWORD_VARIABLE = "DEMO_PASSWORD"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class Person:
    """An account of the demo, with its role in the seeded projects."""

    role: str
    email: str
    name: str


OWNER = Person("owner", "owner@example.com", "Olivia Owner")
COLLABORATOR = Person("collaborator", "collaborator@example.com", "Cole Collaborator")
STRANGER = Person("stranger", "stranger@example.com", "Sasha Stranger")
PEOPLE = (OWNER, COLLABORATOR, STRANGER)


def demo_password() -> str:
    """Return the password of every demo account.

    Raises:
        KeyError: this process was not started by the demo.
    """
    return os.environ[PASSWORD_VARIABLE]


def ensure_account(person: Person) -> Account:
    """Return a person's account, created if missing; keep its password."""
    found = Account.objects.filter(email=person.email).first()
    return found or Account.objects.create_user(person.email, demo_password(), name=person.name)
