"""What can be wrong with a request for a project."""


class NameRefusedError(Exception):
    """The name cannot be a project's; the message says why and is fit for a page."""
