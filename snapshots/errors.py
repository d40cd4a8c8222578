"""What the verbs of this app refuse, in sentences that are fit for a page."""


class SettingsRefusedError(Exception):
    """Backup settings that cannot be; nothing was saved.

    Attributes:
        errors: The field (`backup_time`, `backup_time_zone`, `retention_days` or `proof_policy`)
            and its sentence.
    """

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors

    @property
    def field(self) -> str:
        """The first field that was refused, in the order of the page."""
        return next(iter(self.errors))


class SettingsChangedMeanwhileError(SettingsRefusedError):
    """Somebody else changed the same settings since they were shown; nothing was saved."""


class HoldRefusedError(Exception):
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
