"""Types of JSON that comes from outside, so that `Any` is named here alone.

A value of unknown form is an `object`, which mypy lets nobody use before `isinstance` has said
what it is. A connection to a database is a plain `psycopg.Connection`: its rows are tuples already.
"""

from typing import Any

# A parsed object, or a row by its columns; whoever reads a key knows what form it has.
JsonObject = dict[str, Any]
