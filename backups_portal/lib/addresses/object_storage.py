"""The address of an object storage: a folder, or a bucket with parameters.

Parameters after the question mark are literal except for & and %, because secret keys are pasted
and contain plus signs, slashes and #.
"""

from dataclasses import dataclass, field
from posixpath import normpath
from urllib.parse import quote, unquote

from backups_portal.lib.addresses.url import AddressError

FOLDER = "file"
EXAMPLE = "file:///absolute/folder or s3://bucket/prefix?region=…"
HERE = ("", "localhost")
# Parameters that are addresses themselves, and so could contain a password.
ENDPOINTS = ("endpoint", "endpoint_url", "endpoint_url_s3")
OPENING = ("secret", "token", "password", "sas", "account_key")


@dataclass(frozen=True)
class StorageAddress:
    """The location of objects and the parameters, including keys, that open it.

    Attributes:
        bucket: Including the vendor's account or host, if any; "" for a folder.
        path: Decoded: the absolute folder, or the prefix in a bucket, with a leading slash.
        parameters: Decoded, in their order.
    """

    scheme: str
    bucket: str
    path: str
    parameters: dict[str, str] = field(repr=False)

    @property
    def place(self) -> str:
        """Return the location without keys, the same for all spellings."""
        path = "" if self.path in ("", "/") else f"/{normpath(self.path).lstrip('/')}"
        place = f"{self.scheme}://{self.bucket}{path}"
        endpoint = self.parameters.get("endpoint", "")
        return f"{place} at {endpoint}" if endpoint else place

    @property
    def url(self) -> str:
        """Write the address without its parameters."""
        return f"{self.scheme}://{self.bucket}{quote(self.path)}"

    def may_be_named(self, name: str) -> bool:
        """Tell whether a parameter's name is safe to show.

        After a secret it may be a piece of that secret, if the secret contains an &.
        """
        before = list(self.parameters)[: list(self.parameters).index(name)]
        return not any(word in other.lower() for other in before for word in OPENING)


def normalized(text: str) -> str:
    """Check the address of a storage, and return it as written.

    Raises:
        AddressError: the address cannot be used.
    """
    parse(text)
    return text.strip()


def parse(text: str) -> StorageAddress:
    """Parse the address of a storage.

    Raises:
        AddressError: the address is invalid or ambiguous.
    """
    scheme, is_url, rest = text.strip().partition("://")
    if not is_url or not rest or not text.strip().isprintable():
        raise AddressError(f"It is not the address of a storage: write {EXAMPLE}.")
    place, _, query = rest.partition("?")
    bucket, slash, path = place.partition("/")
    address = StorageAddress(scheme.lower(), bucket, unquote(slash + path), _parameters(query))
    return _folder(address) if address.scheme == FOLDER else _bucket(address)


def _folder(address: StorageAddress) -> StorageAddress:
    if address.bucket not in HERE or not address.path.strip("/"):
        raise AddressError(
            "A folder is named from the root of the file system, with three slashes: "
            "file:///absolute/folder."
        )
    if "object_lock" in address.parameters:
        raise AddressError("object_lock is for buckets of S3, not for a folder.")
    if address.parameters:
        raise AddressError(
            "It has a ?, and a folder takes no parameters: write one in its name as %3F."
        )
    return StorageAddress(FOLDER, "", address.path, {})


def _bucket(address: StorageAddress) -> StorageAddress:
    if not address.bucket:
        raise AddressError(f"It names no bucket: write {EXAMPLE}.")
    if ":" in address.bucket.rpartition("@")[0] or ("@" in address.path and ":" in address.bucket):
        raise AddressError(
            "Keys do not go before the bucket: write ?access_key_id=…&secret_access_key=… after it."
        )
    for name in ENDPOINTS:
        if "@" in address.parameters.get(name, "").partition("://")[2].partition("/")[0]:
            raise AddressError(f"Its {name} has no name and password in front of the host.")
    return address


def _parameters(query: str) -> dict[str, str]:
    # Not parsed like a form: a plus sign stays a plus sign.
    pairs = [part.partition("=") for part in query.split("&") if part]
    names = [unquote(name) for name, _, _ in pairs]
    if not all(is_pair for _, is_pair, _ in pairs) or not all(map(str.isidentifier, names)):
        raise AddressError(
            "Its parameters are name=value with & between: write %26 for an & in one."
        )
    if len(set(names)) != len(names):
        raise AddressError("One of its parameters is repeated. Write %26 for an & in a value.")
    return {name: unquote(value) for name, (_, _, value) in zip(names, pairs, strict=True)}
