"""The two main databases of the tests of transfers, which ids and tokens are looked up in."""

from tests.transfers.conftest import backup, databases, live, owner, source, target

__all__ = ["backup", "databases", "live", "owner", "source", "target"]
