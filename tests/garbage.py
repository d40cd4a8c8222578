"""Search for garbage among tests' objects only, not among everything imported before.

A plugin: modules, models and collected tests are a million objects that stay, and each full search
goes through them again.
"""

import gc

import pytest

# Do not search while tests are collected, either.
gc.disable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Start searching, excluding all objects so far."""
    gc.collect()
    gc.freeze()
    gc.enable()
