"""A certificate for the servers that these tests listen with."""

import pytest

from tests.lib.addresses.listener import Certificate, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One that nobody trusts who is not told to."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
