"""The SCRAM verifier that PostgreSQL stores in place of a role's password.

A server that receives the password itself may log it with the statement. Before version 16 it would
also use 4,096 iterations, which both sides then repeat at each connection.
"""

import base64
import hashlib
import hmac
import secrets

SALT_BYTES = 16
# Iterations slow down guessing. Nobody can guess 24 random bytes, and 4,096 iterations took half of
# a connection's time.
ITERATIONS = 1


def make_verifier(password: str) -> str:
    """Return the verifier for `PASSWORD '…'` (RFC 5803).

    Args:
        password: Random ASCII characters: it gets one iteration and no normalisation.
    """
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    keys = f"{_text(stored_key)}:{_text(server_key)}"
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${keys}"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
