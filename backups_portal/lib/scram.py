"""Make the SCRAM verifier that PostgreSQL stores in place of a role's password.

A server that is sent the password can write it into its log, with the statement. Before version 16
it also hashes every password 4,096 times, as both sides then do at each connection.
"""

import base64
import hashlib
import hmac
import secrets

SALT_BYTES = 16
# Against those who guess. Nobody guesses 24 random bytes, and 4,096 times were half of the time
# that a connection takes.
ITERATIONS = 1


def make_verifier(password: str) -> str:
    """Return what `PASSWORD '…'` takes in place of the password itself (RFC 5803).

    Args:
        password: Random ASCII characters: it is hashed once, and not normalised.
    """
    salt = secrets.token_bytes(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    keys = f"{_text(stored_key)}:{_text(server_key)}"
    return f"SCRAM-SHA-256${ITERATIONS}:{_text(salt)}${keys}"


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
