"""Redaction: hide names of projects from readers who may not enter them.

An owner sees what was restored from a project's backups and where its data was moved; the projects
at the other end may belong to somebody else. The audit log keeps every name, but its readers get
"another project" in place of these.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Membership, Project

ANOTHER = "another project"


@dataclass(frozen=True)
class Mention:
    """A project that a text names; until it exists, `asked_by` may read it."""

    name: str
    project_id: UUID | None
    asked_by: int | None = None


@dataclass(frozen=True)
class Reader:
    """An account, and which of the projects in question it may enter."""

    account_id: int
    enterable: frozenset[UUID]

    def may_read(self, mention: Mention) -> bool:
        """Tell whether the reader may read the name."""
        if mention.project_id is None:
            return mention.asked_by == self.account_id
        return mention.project_id in self.enterable

    def name(self, name: str, project_id: UUID | None, asked_by: int | None = None) -> str:
        """Return the name, or its placeholder."""
        return name if self.may_read(Mention(name, project_id, asked_by)) else ANOTHER


def reader_of(account: Account, project_ids: Iterable[UUID | None]) -> Reader:
    """Look up which of these projects an account may enter."""
    (reader,) = readers_of([account.pk], project_ids)
    return reader


def readers_of(account_ids: Sequence[int], project_ids: Iterable[UUID | None]) -> list[Reader]:
    """Look up which of these projects several accounts may enter."""
    asked = {pk for pk in project_ids if pk is not None}
    found: dict[int, set[UUID]] = defaultdict(set)
    if asked:
        members = Membership.objects.filter(account_id__in=account_ids, project_id__in=asked)
        # A removed project has no members, but its creator still knows its name.
        gone = Project.objects.filter(
            pk__in=asked, created_by_id__in=account_ids, state=Project.State.REMOVED
        )
        pairs = members.values_list("account_id", "project_id")
        for account_id, pk in pairs.union(gone.values_list("created_by_id", "pk")):
            found[account_id].add(pk)
    return [Reader(pk, frozenset(found[pk])) for pk in account_ids]


def hide(text: str, mentions: Iterable[Mention], readers: Sequence[Reader]) -> str:
    """Hide names in a text that any of its readers may not read."""
    known = {
        mention.name: bool(readers) and all(reader.may_read(mention) for reader in readers)
        for mention in mentions
    }
    if all(known.values()):
        return text
    # Try the longest first: a name may begin with another one.
    names = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
    pattern = rf"(?<!\w)(?:{names})(?!\w)"
    return re.sub(pattern, lambda found: found[0] if known[found[0]] else ANOTHER, text)
