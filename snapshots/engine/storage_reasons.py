"""Explain why a storage failed: in full for a log, briefly for an owner.

The libraries' own messages contain addresses, paths and whole responses of servers.
"""

import re

from backups_portal.lib.addresses.url import without_secrets

# obstore's errors, for all kinds of buckets: the status, and the response after it.
STATUS = re.compile(r"status code: (\d{3}[^:<\n]*)")
CODE = re.compile(r"<Code>(\w+)</Code>")
NOT_FOUND = re.compile(r"status code: 404 Not Found:?(.*)", re.DOTALL)
NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
# Errors of the operating system.
OF_SYSTEM = re.compile(r"(?:^|: )([^:]+) \(os error \d+\)")
NO_ANSWER = "the server did not answer"
SIGNS = {
    "error sending request": NO_ANSWER,
    "body error": "the server's answer broke off",
    "redirect without LOCATION": "the bucket is in another region than its settings say",
}
IN_THE_LOG = "the operators' log has the details"


def in_full(error: Exception) -> str:
    """Return a library's message, without secrets and debugging details."""
    return without_secrets(str(error).partition("\n\nDebug source")[0].strip())


def is_about_object(error: Exception) -> bool:
    """Tell whether "not found" is what the storage says about an object.

    Requests to a bucket that is gone are answered with 404, too, and so are all requests by a proxy
    that has lost the server behind it: then nothing is known about the object.
    """
    found = NOT_FOUND.search(in_full(error))
    if found is None or not found[1].strip():
        return True
    code = CODE.search(found[1])
    return code is not None and code[1] not in NO_BUCKET


def in_few_words(error: Exception) -> str:
    """Return a reason that is fit for an owner, without a full stop."""
    text = in_full(error)
    if status := STATUS.search(text):
        code = CODE.search(text)
        return f"the server answered {status[1].strip()}" + (f" ({code[1]})" if code else "")
    if found := OF_SYSTEM.search(text):
        return found[1]
    known = [words for sign, words in SIGNS.items() if sign in text]
    return known[0] if known else IN_THE_LOG if "/" in text else text
