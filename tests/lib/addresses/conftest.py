"""A certificate for the servers of these tests."""

import pytest

from tests.lib.addresses.listener import Certificate, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that clients trust only if configured to."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
