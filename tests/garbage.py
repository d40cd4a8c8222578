"""Looks for garbage among what a test makes, and not among all that was imported before.

A plugin: modules, models and collected tests are a million objects that stay, and each full search
goes through them again.
"""

import gc

import pytest

# Not before there are tests, either.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Begin, with what there is left out."""
    gc.collect()
    gc.freeze()
    gc.enable()
