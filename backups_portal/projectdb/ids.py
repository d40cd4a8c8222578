"""Ids as TagoIO clients expect them: 24 hex digits, ascending with time."""

import secrets
import threading
import time
import uuid

PREFIX_DIGITS = 8
# Bits of the random step between ids of one millisecond: hard to guess, yet small enough to stay
# in it.
STEP_BITS = 32

_lock = threading.Lock()
_newest = 0


def new_resource_id() -> str:
    """Make 24 hex digits: 12 of milliseconds since 1970 and 12 at random.

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
    """Make 8 random hex digits for a database; the caller checks uniqueness."""
    return secrets.token_hex(PREFIX_DIGITS // 2)


def new_group() -> str:
    """Make the group that the records of one request share if they name none."""
    return new_resource_id()


def variable_id(prefix: str, number: int) -> str:
    """Write the id of a record from its number and its database's prefix."""
    return f"{prefix}{number:016x}"


def variable_number(prefix: str, text: str) -> int | None:
    """Return a variable id's number; None if it is not of this database."""
    if len(text) != 24 or not text.startswith(prefix):
        return None
    try:
        return int(text[PREFIX_DIGITS:], 16)
    except ValueError:
        return None


def new_token_uuid(prefix: str, random: int | None = None) -> uuid.UUID:
    """Make a UUID of version 4 in form: the database's prefix and 90 bits.

    Args:
        random: 96 bits to take them from, if they must come out the same each time.

    Clients tell a device token from an id by its 36 characters (design decision 15).
    """
    number = int(prefix, 16) << 96 | (secrets.randbits(96) if random is None else random)
    number = number & ~(0xF << 76) | 0x4 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=number)
