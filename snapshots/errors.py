"""What the verbs of this app refuse, in sentences that are fit for a page."""

from backups_portal.lib.refusals import RefusedError


class SettingsRefusedError(RefusedError):
    """The settings are not allowed; nothing was saved."""


class SettingsChangedMeanwhileError(SettingsRefusedError):
    """Somebody else changed the same settings since they were shown; nothing was saved."""


class HoldRefusedError(RefusedError):
    """A hold that cannot be placed, such as on a backup that is not stored."""


class DownloadRefusedError(Exception):
    """A download that does not begin."""


class WrongPasswordError(DownloadRefusedError):
    """The password that was asked for again is not the account's."""


class TooManyTriesError(Exception):
    """Too many wrong passwords; this one was not looked at.

    Attributes:
        seconds: How long to wait.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many attempts. Wait {seconds} seconds.")
        self.seconds = seconds
