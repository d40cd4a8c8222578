"""Event streams of a running server: limits, cut connections, revoked tokens."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import database_of_this_test
from tests.contract.conftest import Endpoint
from tests.contract.http import ask
from tests.contract.javascript.node import HERE, require_node
from tests.contract.server import running

Pair = tuple[Endpoint, Endpoint]
PLACES = 3
LATER = b"retry: 5000\n\n"
EXTERNAL = {"name": "Report", "run_on": "external"}
LISTENER = """
import os
from tagoio_sdk import Analysis
url = os.environ["API_URL"]
region = {"api": url, "sse": url + "/events"}
Analysis.use(
    lambda context, scope: context.log(f"ran with {scope}"),
    {"token": os.environ["ANALYSIS_TOKEN"], "region": region})
"""


class Stream:
    """A client that listens."""

    def __init__(self, url: str, token: str, channel: str = "analysis_trigger", **headers: str):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        headers = {"token": token, "Accept": "text/event-stream", **headers}
        self.connection.request("GET", f"/events?channel={channel}", headers=headers)
        self.answer = self.connection.getresponse()
        assert (self.answer.status, self.answer.headers["Content-Type"]) == (
            200,
            "text/event-stream",
        )

    def block(self) -> bytes:
        """Return the next lines up to an empty one; nothing at the end."""
        lines = b""
        while not lines.endswith(b"\n\n"):
            line = self.answer.readline()
            if not line:
                break
            lines += line
        return lines

    def event(self) -> tuple[str, Any]:
        """Return the next event's id and payload."""
        while (found := self.block()).startswith(b":"):
            pass
        first, second = found.splitlines()[:2]
        payload = json.loads(second.removeprefix(b"data: "))["payload"]
        return first.removeprefix(b"id: ").decode(), payload

    def close(self) -> None:
        """Disconnect, as a client does whose network is cut."""
        # Both hold the socket.
        self.answer.close()
        self.connection.close()


HASTY = """
from backups_portal.tagoio_api.asgi import application
from backups_portal.tagoio_api.streams import event_hub
event_hub.CHECK_SECONDS, event_hub.BREATH_SECONDS = 0.5, 0.2
"""


@pytest.fixture(scope="module")
def few_places(api_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another server of the same projects with few places that checks tokens often."""
    folder = tmp_path_factory.mktemp("few")
    (folder / "hasty.py").write_text(HASTY)
    environment = {
        **database_of_this_test(),
        "API_EVENT_STREAMS": str(PLACES),
        "PYTHONPATH": f"{folder}:{Path.cwd()}",
    }
    with running("hasty", environment, folder / "api.log") as url:
        yield url


def analysis(one: Endpoint) -> dict[str, str]:
    made: dict[str, str] = ask(one.url, "POST", "/analysis", EXTERNAL, token=one.token)[1]
    return made


def trigger(one: Endpoint, made: dict[str, str], scope: Any) -> None:
    path = f"/analysis/{made['id']}/run"
    assert ask(one.url, "POST", path, {"scope": scope}, token=one.token)[0] == 200


def console(one: Endpoint, made: dict[str, str]) -> list[str]:
    lines: list[str] = ask(one.url, "GET", f"/analysis/{made['id']}", token=one.token)[1]["console"]
    return lines


def eventually(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def is_let_in(url: str, token: str) -> bool:
    with closing(Stream(url, token)) as stream:
        return stream.block() == b": listening\n\n"


def take_all_places(url: str, tokens: list[str], streams: list["Stream"]) -> bool:
    """Open a stream for each token; close them again unless all are admitted."""
    streams[:] = [Stream(url, token) for token in tokens]
    if all(stream.block() == b": listening\n\n" for stream in streams):
        return True
    for stream in streams:
        stream.close()
    return False


def test_a_place_is_free_as_soon_as_its_client_has_gone(endpoints: Pair, few_places: str) -> None:
    one = endpoints[0]
    listeners = [Stream(few_places, one.token, "notification") for _ in range(PLACES)]
    assert [stream.block() for stream in listeners] == [b": listening\n\n"] * PLACES
    other = analysis(one)
    refused = Stream(few_places, other["token"])
    # Refused with 200, since EventSource takes every other status as final.
    assert (refused.block(), refused.block()) == (LATER, b"")
    listeners.pop().close()
    eventually(lambda: is_let_in(few_places, other["token"]), 2)
    for stream in listeners:
        stream.close()


def test_a_tokens_new_stream_takes_the_place_of_its_old_one(
    endpoints: Pair, few_places: str
) -> None:
    made = [analysis(endpoints[0]) for _ in range(PLACES)]
    old: list[Stream] = []
    # An earlier test's clients have left, and their places become free one by one.
    eventually(lambda: take_all_places(few_places, [one["token"] for one in made], old))
    new = Stream(few_places, made[0]["token"])
    assert new.block() == b": listening\n\n"
    assert b"" in [old[0].block() for _ in range(50)]
    for stream in (*old[1:], new):
        stream.close()


def test_a_project_that_takes_all_places_leaves_some_to_another(
    endpoints: Pair, few_places: str
) -> None:
    one, two = endpoints
    crowd: list[Stream] = []
    tokens = [analysis(one)["token"] for _ in range(PLACES)]
    eventually(lambda: take_all_places(few_places, tokens, crowd))
    guest = Stream(few_places, analysis(two)["token"])
    assert guest.block() == b": listening\n\n"
    assert b"" in [crowd[0].block() for _ in range(50)], "the oldest of the crowd"
    # Neither project may take from the other now: they have one and two of three.
    for endpoint in endpoints:
        with closing(Stream(few_places, analysis(endpoint)["token"])) as stream:
            assert stream.block() == LATER
    for stream in (*crowd[1:], guest):
        assert stream.block() in (b": listening\n\n", b": still here\n\n")
        stream.close()


def test_what_nobody_heard_is_told_to_the_next_who_listens(endpoints: Pair) -> None:
    one = endpoints[0]
    made = analysis(one)
    trigger(one, made, "before")
    first = Stream(one.url, made["token"])
    assert first.event()[1]["data"] == "before"
    trigger(one, made, "while it listens")
    last, payload = first.event()
    assert payload["data"] == "while it listens"
    first.close()
    other = Stream(one.url, made["token"])
    assert other.block() == b": listening\n\n"
    for scope in ("one", "two"):
        trigger(one, made, scope)
        assert other.event()[1]["data"] == scope
    # Another connection received it, this client did not.
    back = Stream(one.url, made["token"], **{"Last-Event-ID": last})
    assert [back.event()[1]["data"] for _ in range(2)] == ["one", "two"]
    again = Stream(one.url, made["token"])
    trigger(one, made, "three")
    assert again.event()[1]["data"] == "three"
    for stream in (other, back, again):
        stream.close()


def test_what_cannot_be_kept_is_said_not_to_be_heard(endpoints: Pair) -> None:
    one = endpoints[0]
    made = analysis(one)
    path = f"/analysis/{made['id']}/run"
    status, message = ask(one.url, "POST", path, {"scope": "x" * 40_000}, token=one.token)
    assert status == 400
    assert message.startswith("Nothing was run")
    with closing(Stream(one.url, made["token"])) as stream:
        assert stream.block() == b": listening\n\n"
        trigger(one, made, "x" * 40_000)
        assert stream.event()[1]["data"] == "x" * 40_000


def test_a_stream_ends_when_its_token_is_revoked_and_not_before(
    endpoints: Pair, few_places: str
) -> None:
    one = endpoints[0]
    made, kept = analysis(one), analysis(one)
    stays, goes = Stream(few_places, kept["token"]), Stream(few_places, made["token"])
    blocks = [goes.block() for _ in range(8)]
    assert blocks == [b": listening\n\n", *[b": still here\n\n"] * 7]
    path = f"/analysis/{made['id']}/token"
    assert ask(one.url, "GET", path, token=one.token)[0] == 200
    assert b"" in [goes.block() for _ in range(50)]
    assert {stays.block() for _ in range(10)} == {b": listening\n\n", b": still here\n\n"}
    stays.close()


class Cable:
    """A network between a client and the server that can be cut and repaired."""

    def __init__(self, url: str) -> None:
        self._to = (urlsplit(url).hostname, urlsplit(url).port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._is_cut = False
        self._moved_at = time.monotonic()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                if self._is_cut:
                    client.close()
                    continue
                server = socket.create_connection(self._to)
                self._pairs.append((client, server))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
                self._moved_at = time.monotonic()
            other.shutdown(socket.SHUT_RDWR)

    def is_quiet(self) -> bool:
        """Return whether nothing was in transit for a while."""
        return time.monotonic() - self._moved_at > 1

    def cut(self) -> None:
        self._is_cut = True
        for pair in self._pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs = []

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._listening.close()


def run_by_python() -> list[str]:
    return [sys.executable, "-c", LISTENER]


def run_by_javascript() -> list[str]:
    require_node()
    return ["node", "listen.mjs"]


@pytest.mark.parametrize("command", [run_by_python, run_by_javascript], ids=["python", "node"])
def test_five_external_analyses_run_again_after_their_network_was_cut(
    endpoints: Pair, command: Callable[[], list[str]]
) -> None:
    one = endpoints[0]
    made = [analysis(one) for _ in range(5)]
    cable = Cable(one.url)
    listeners = [
        subprocess.Popen(
            command(),
            cwd=HERE,
            env={
                **os.environ,
                "API_URL": cable.url,
                "ANALYSIS_TOKEN": each["token"],
                "PYTHONUNBUFFERED": "1",
                "STAY": "1",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for each in made
    ]
    try:
        for number, each in enumerate(made):
            # Their streams are about to open, so earlier events are kept for them.
            trigger(one, each, [number])
        eventually(lambda: all(len(console(one, each)) == 1 for each in made))
        # A client that is cut off from the answer to its own request ends instead of listening.
        eventually(cable.is_quiet)
        cable.cut()
        for each in made:
            trigger(one, each, ["while it was cut"])
        cable.mend()
        eventually(lambda: all(len(console(one, each)) == 2 for each in made))
        for each in made:
            trigger(one, each, ["after"])
        eventually(lambda: all(len(console(one, each)) == 3 for each in made))
        assert all("while it was cut" in console(one, each)[1] for each in made)
    finally:
        cable.close()
        for listener in listeners:
            listener.kill()
            listener.wait()


def test_many_streams_leave_the_api_quick(endpoints: Pair) -> None:
    one = endpoints[0]
    made = analysis(one)
    streams = [Stream(one.url, made["token"]) for _ in range(200)]
    try:
        assert {stream.block() for stream in streams} == {b": listening\n\n"}
        began = time.monotonic()
        assert ask(one.url, "GET", "/device", token=one.token)[0] == 200
        assert time.monotonic() - began < 1
        trigger(one, made, "all")
        assert {stream.event()[1]["data"] for stream in streams} == {"all"}
    finally:
        for stream in streams:
            stream.close()
