"""Clients that guess a password: at the portal's form and at the API, from any address."""

import http.cookiejar
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

FORM_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
SECONDS = 30.0


class _Stay(urllib.request.HTTPRedirectHandler):
    """Who is let in is sent on, which is all that is to be known."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass
class Guesser:
    """Tries passwords of one account.

    Attributes:
        portal, api: Base URLs.
    """

    portal: str
    api: str
    email: str
    _form: tuple[str, str] | None = field(default=None, init=False)

    def at_portal(self, password: str, address: str) -> int:
        """The status of the answer to the form; 302 for who is let in."""
        cookie, token = self._form = self._form or self._open_form()
        body = {"username": self.email, "password": password, "csrfmiddlewaretoken": token}
        headers = {"Cookie": f"csrftoken={cookie}"}
        return _post(f"{self.portal}/sign-in/", urllib.parse.urlencode(body), address, headers)

    def at_api(self, password: str, address: str) -> int:
        """The status of the answer of the API; 200 for who is let in."""
        body = json.dumps({"email": self.email, "password": password})
        headers = {"Content-Type": "application/json"}
        return _post(f"{self.api}/account/login", body, address, headers)

    def _open_form(self) -> tuple[str, str]:
        """The cookie and the field that say that the form is the portal's."""
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        with opener.open(f"{self.portal}/sign-in/", timeout=SECONDS) as page:
            found = FORM_TOKEN.search(page.read().decode())
        (cookie,) = [one.value for one in jar if one.name == "csrftoken"]
        if found is None or cookie is None:
            raise RuntimeError("the sign-in has no form")
        return cookie, found[1]


def attack(
    guesser: Guesser, addresses: Sequence[str], tries: int, *, clients: int, seconds: float
) -> list[int]:
    """The answers to so many wrong passwords, or to as many as there was time for."""
    until = perf_counter() + seconds

    def guess(number: int) -> int | None:
        if perf_counter() > until:
            return None
        ask = (guesser.at_portal, guesser.at_api)[number % 2]
        return ask(f"guess {number}", addresses[number // 2 % len(addresses)])

    with ThreadPoolExecutor(clients) as pool:
        return [answer for answer in pool.map(guess, range(tries)) if answer is not None]


def _post(url: str, body: str, address: str, headers: dict[str, str]) -> int:
    request = urllib.request.Request(  # noqa: S310 - of a server on this machine
        url, body.encode(), {"X-Forwarded-For": address, **headers}
    )
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code
