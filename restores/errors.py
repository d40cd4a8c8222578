"""Refusals of restores and of changes to checks."""

from backups_portal.lib.refusals import RefusedError


class RestoreRefusedError(RefusedError):
    """The restore cannot begin."""


class ChargesChangedError(RestoreRefusedError):
    """The charges have changed since they were accepted."""


class CheckRefusedError(RefusedError):
    """A check was refused, and nothing was saved.

    The fields are `device`, `variable`, `hours`, `at_least`, `low` and `high`.
    """
