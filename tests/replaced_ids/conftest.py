"""The transfer tests' two main databases, in which ids and tokens are looked up."""

from tests.transfers.conftest import backup, databases, live, owner, source, target

__all__ = ["backup", "databases", "live", "owner", "source", "target"]
