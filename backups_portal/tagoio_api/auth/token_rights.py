"""What tokens may do, by their permission; workers ask without the rest of the API."""

# What each method of a request needs.
METHODS = {"GET": "read", "POST": "write", "PUT": "write", "DELETE": "delete"}
# What each permission of a token lets it do, whatever kind of token it is.
RIGHTS = {
    "full": frozenset({"read", "write", "delete"}),
    "write": frozenset({"write"}),
    "read": frozenset({"read"}),
}
