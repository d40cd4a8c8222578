"""Why a restore is not begun, or a check not kept."""

from backups_portal.lib.refusals import RefusedError


class RestoreRefusedError(RefusedError):
    """The restore cannot begin."""


class ChargesChangedError(RestoreRefusedError):
    """What was accepted is not what the new project costs now."""


class CheckRefusedError(RefusedError):
    """A check that cannot be; nothing was saved.

    The fields are `device`, `variable`, `hours`, `at_least`, `low` and `high`.
    """
