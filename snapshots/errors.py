"""Refusals of this app's services, in sentences that suit a page."""

from backups_portal.lib.refusals import RefusedError


class SettingsRefusedError(RefusedError):
    """The settings are not allowed; nothing was saved."""


class SettingsChangedMeanwhileError(SettingsRefusedError):
    """Somebody else has changed the same settings; nothing was saved."""


class HoldRefusedError(RefusedError):
    """A hold that cannot be placed, as on a backup that is not stored."""


class DownloadRefusedError(Exception):
    """A download that was refused before it began."""


class WrongPasswordError(DownloadRefusedError):
    """The password, asked for again, is not the account's."""


class TooManyTriesError(Exception):
    """Too many wrong passwords; this one was not checked.

    Attributes:
        seconds: How long to wait.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts. Wait {seconds} seconds.")
        self.seconds = seconds
