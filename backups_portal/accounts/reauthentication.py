"""Reauthentication, in case a browser was left open.

allauth asks for it (password, code, passkey or provider) and remembers when; this adds that a fresh
sign-in counts, and that a filled-in form is not lost.
"""

import time
from datetime import timedelta
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.authentication import get_authentication_records
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.generic import View

# The password is asked for again after this long.
RECENT = timedelta(minutes=15)
# A form that was shown can be sent for this long.
FILLING_IN = timedelta(hours=1)
NOTHING_DONE = "Nothing has been done yet. Confirm that it's you, then do it again."


def is_recent(request: HttpRequest, within: timedelta) -> bool:
    """Tell whether the account signed in or reauthenticated within this time."""
    ages = (time.time() - one["at"] for one in get_authentication_records(request, request.user))
    return any(0 <= age <= within.total_seconds() for age in ages)


class RecentPasswordMixin(View):
    """Requires recent authentication.

    Must come after the permission mixin, which refuses an account without permission first.

    Attributes:
        password_for: The methods that need it.
    """

    password_for: tuple[str, ...] = ("GET", "POST")

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if request.method in self.password_for and not is_recent(request, self._within(request)):
            methods = get_adapter().get_reauthentication_methods(request.user)
            if not methods:
                raise PermissionDenied("Sign out, and sign in again to continue.")
            if request.method == "POST":
                # Afterwards the form's page would look as if the form had been sent.
                messages.warning(request, NOTHING_DONE)
            url = methods[0]["url"]
            return HttpResponseRedirect(f"{url}?{urlencode({'next': self.back_to()})}")
        return super().dispatch(request, *args, **kwargs)

    def back_to(self) -> str:
        """Return the address to go to afterwards, which must allow GET."""
        return self.request.get_full_path()

    def _within(self, request: HttpRequest) -> timedelta:
        # The page itself has asked for the password; the filled-in form must not be lost.
        is_form = request.method == "POST" and "GET" in self.password_for
        return FILLING_IN if is_form else RECENT
