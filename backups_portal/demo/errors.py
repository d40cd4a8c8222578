"""Errors that stop the demo, in sentences."""


class DemoError(Exception):
    """The demo cannot continue; the message says what to do, in a sentence."""


def system_error(error: OSError) -> str:
    """Name the file and the reason, such as a full disk."""
    return f"{error.filename or 'the system'}: {error.strerror or error}"
