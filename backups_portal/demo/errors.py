"""The error that stops the demo."""


class DemoError(Exception):
    """The demo cannot continue; the message says what to do, in a sentence."""
