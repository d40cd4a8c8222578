"""The portal API's expected answers: every path, every method, every actor."""

from collections.abc import Mapping

from tests.access.table import Answers, always

# Besides the three actors of every table: an anonymous caller, an owner whose token has every scope
# except the required one, and an owner's session without a token.
ACTORS = ("owner", "collaborator", "stranger", "anonymous", "unscoped", "session")


def operations(
    statuses: Mapping[str, int], *, collaborator: int | None = None, stranger: int | None = None
) -> dict[str, Answers]:
    """Return the answers of a path; other methods get 405 from every actor.

    Args:
        statuses: The owner's answers, by method.
        collaborator, stranger: Their answer to each of these methods; None: the owner's.
    """
    found = {**statuses, **({"HEAD": statuses["GET"]} if "GET" in statuses else {})}

    def all_get(status: int | None) -> Answers:
        same = found if status is None else dict.fromkeys(found, status)
        return {**always(405), **same}

    return {
        "owner": all_get(None),
        "collaborator": all_get(collaborator),
        "stranger": all_get(stranger),
        "anonymous": all_get(401),
        "unscoped": all_get(403),
        "session": all_get(401),
    }


def everyone(**statuses: int) -> dict[str, Answers]:
    """Return the answers of a path about the account itself."""
    return operations(statuses)


def members(**statuses: int) -> dict[str, Answers]:
    """Return the answers of a project path that collaborators may read."""
    return operations(statuses, stranger=404)


def owners(**statuses: int) -> dict[str, Answers]:
    """Return the answers of a project path that only owners may use."""
    return operations(statuses, collaborator=403, stranger=404)


BACKUP = "/api/v1/projects/{slug}/backups/{backup_id}"
TRANSFER = "/api/v1/transfers/{transfer_id}"
# The same world as that of the pages: the snapshot's objects are missing from storage, its restore
# has failed, and the transfer is being undone, so that every request to it conflicts.
API_TABLE: dict[str, dict[str, Answers]] = {
    "/api/v1/projects": everyone(GET=200),
    "/api/v1/projects/{slug}": members(GET=200),
    "/api/v1/projects/{slug}/settings": owners(GET=200, PATCH=200),
    "/api/v1/projects/{slug}/evidence": owners(GET=200),
    "/api/v1/projects/{slug}/objectives": owners(GET=200, PATCH=200),
    "/api/v1/projects/{slug}/checks": owners(GET=200, POST=201),
    "/api/v1/projects/{slug}/checks/{check_id}": owners(DELETE=204),
    # No method of the API creates a backup.
    "/api/v1/projects/{slug}/backups": owners(GET=200),
    BACKUP: owners(GET=200),
    f"{BACKUP}/quote": owners(GET=200),
    f"{BACKUP}/hold": owners(PUT=200, DELETE=204),
    # The snapshot's objects are missing from storage.
    f"{BACKUP}/devices": owners(GET=409),
    f"{BACKUP}/devices/{{device_id}}/records": owners(GET=409),
    f"{BACKUP}/restores": owners(POST=409),
    "/api/v1/projects/{slug}/restores": owners(GET=200),
    "/api/v1/restores/{restore_id}": owners(GET=200),
    "/api/v1/restores/{restore_id}/retry": owners(POST=409),
    "/api/v1/projects/{slug}/transfers": owners(GET=200, POST=202),
    TRANSFER: owners(GET=200),
    **{f"{TRANSFER}/{verb}": owners(POST=409) for verb in ("plan", "start", "pause", "undo")},
    f"{TRANSFER}/cancel": owners(POST=202),
}
