"""The error that stops the demo."""


class DemoError(Exception):
    """The demo cannot go on; the message is one sentence that says what to do."""
