"""Types of JSON from outside, so that `Any` appears only here.

A value of unknown form is an `object`, which mypy lets code use only after an `isinstance` check.
A database connection is a plain `psycopg.Connection`, whose rows are tuples already.
"""

from typing import Any

# A parsed object, or a row by column; code that reads a key knows its type.
JsonObject = dict[str, Any]
