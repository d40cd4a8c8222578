"""Identifiers as TagoIO clients expect them: 24 hex digits, growing with time."""

import secrets
import threading
import time
import uuid

PREFIX_DIGITS = 8
# Between two ids of one millisecond: hard to guess, and few enough to stay in it.
STEP_BITS = 32

_lock = threading.Lock()
_newest = 0


def new_resource_id() -> str:
    """24 hex digits: 12 of milliseconds since 1970 and 12 at random.

    Each is greater than the one before it, so that what one request makes is listed in its order.
    """
    global _newest
    number = time.time_ns() // 1_000_000 << 48 | secrets.randbits(48)
    with _lock:
        if number <= _newest:
            number = _newest + 1 + secrets.randbits(STEP_BITS)
        _newest = number
    return f"{number:024x}"


def new_prefix() -> str:
    """8 random hex digits for a database; the caller makes sure that they are unique."""
    return secrets.token_hex(PREFIX_DIGITS // 2)


def new_group() -> str:
    """The group that the records of one request share when they name none."""
    return new_resource_id()


def variable_id(prefix: str, number: int) -> str:
    """The 24 hex digits of the record that has this number in the database with this prefix."""
    return f"{prefix}{number:016x}"


def variable_number(prefix: str, text: str) -> int | None:
    """The number behind a variable id, or None where the id is another database's or none."""
    if len(text) != 24 or not text.startswith(prefix):
        return None
    try:
        return int(text[PREFIX_DIGITS:], 16)
    except ValueError:
        return None


def new_token_uuid(prefix: str, random: int | None = None) -> uuid.UUID:
    """A UUID of version 4 in form: the database's prefix, and 90 random bits.

    Args:
        random: 96 bits to take them from, where they must come out the same each time.

    Clients tell a device token from an id by its 36 characters (design decision 15).
    """
    number = int(prefix, 16) << 96 | (secrets.randbits(96) if random is None else random)
    number = number & ~(0xF << 76) | 0x4 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=number)
