"""Which client address is trusted behind proxies, in every notation."""

from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address

import pytest
from django.http import HttpRequest, HttpResponse
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings

from backups_portal.lib import client_address
from backups_portal.lib.client_address import ClientAddressMiddleware, client_of


def asked_by(address: str) -> HttpRequest:
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": address}
    return request


@pytest.mark.parametrize(
    ("forwarded", "hops", "client"),
    [
        ("203.0.113.9", 1, "203.0.113.9"),
        # The client's own entries are further left.
        ("1.2.3.4, 203.0.113.9", 1, "203.0.113.9"),
        ("1.2.3.4, 203.0.113.9, 10.0.0.1", 2, "203.0.113.9"),
        ("::ffff:203.0.113.9", 1, "203.0.113.9"),
        ("203.0.113.7:51234", 1, "203.0.113.7"),
        ("[2001:db8::1]:443", 1, "2001:db8::1"),
        ("[2001:db8::1]", 1, "2001:db8::1"),
        ("2001:db8:0::1", 1, "2001:db8::1"),
        ("[::ffff:203.0.113.7]:443", 1, "203.0.113.7"),
        ('"[2001:db8::1]:443"', 1, "2001:db8::1"),
        ('"203.0.113.7"', 1, "203.0.113.7"),
        ("fe80::1%eth0", 1, "fe80::1"),
        ("[fe80::1%25eth0]:443", 1, "fe80::1"),
        ("\t203.0.113.7 ,", 1, "203.0.113.7"),
        # A request that bypassed a proxy: the client's own entry does not count.
        ("203.0.113.9", 2, "203.0.113.9"),
        ("1.2.3.4, 203.0.113.9", 3, "203.0.113.9"),
        # One of our proxies names no address, so the next one's client counts.
        ("1.2.3.4, unknown, 10.0.0.1", 2, "10.0.0.1"),
        ("nonsense", 1, ""),
        ("203.0.113.7:", 1, ""),
        ("203.0.113.7:123456", 1, ""),
        ("203.0.113.7:80:80", 1, ""),
        ("[203.0.113.7", 1, ""),
        ("for=203.0.113.7", 1, ""),
        ("_hidden", 1, ""),
        ("", 1, ""),
        (" , ,", 1, ""),
    ],
)
def test_whose_address_is_believed(forwarded: str, hops: int, client: str) -> None:
    assert client_of(forwarded, hops) == client


PORTS = st.integers(0, 65535)
FORMS = st.sampled_from(["{a}", "{a}:{p}", " {a} ", '"{a}"', '"{a}:{p}"', "\t{a}:{p}"])
JUNK = st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"]), max_size=40)


def written(address: IPv4Address | IPv6Address, form: str, port: int) -> str:
    """Return an address as a proxy may write it."""
    is_plain = "p" not in form or address.version == 4
    return form.format(a=str(address) if is_plain else f"[{address}]", p=port)


@examples(max_examples=50, deadline=None)
@given(
    address=st.ip_addresses(),
    form=FORMS,
    port=PORTS,
    forged=JUNK,
    inner=st.lists(st.tuples(st.ip_addresses(), FORMS, PORTS), max_size=3),
)
def test_nothing_that_a_client_writes_changes_its_address(
    address: IPv4Address | IPv6Address,
    form: str,
    port: int,
    forged: str,
    inner: list[tuple[IPv4Address | IPv6Address, str, int]],
) -> None:
    ours = [written(address, form, port), *(written(*entry) for entry in inner)]
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    expected = str(mapped or address)
    assert client_of(",".join(ours), len(ours)) == expected
    assert client_of(",".join([forged, *ours]), len(ours)) == expected


@examples(max_examples=50, deadline=None)
@given(forwarded=JUNK, hops=st.integers(1, 4))
def test_whatever_stands_there_is_read(forwarded: str, hops: int) -> None:
    found = client_of(forwarded, hops)
    assert found == "" or client_of(found, 1) == found


def test_the_log_says_that_everybody_counts_as_the_proxy(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client_address._tell_once.cache_clear()
    settings.PROXY_HOPS = 1
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "nonsense"}
    middleware = ClientAddressMiddleware(lambda _: HttpResponse())
    for _ in range(3):
        middleware(request)
    assert request.META["REMOTE_ADDR"] == "10.0.0.1"
    (said,) = [record.getMessage() for record in caplog.records]
    assert "PROXY_HOPS=1" in said
    assert "nonsense" not in said


@pytest.mark.parametrize(("address", "known"), [("2001:db8::1", "2001:db8::1"), ("", None)])
def test_an_address_is_known_as_long_as_its_request_is_answered(
    address: str, known: str | None
) -> None:
    seen: list[str | None] = []

    def answer(_: HttpRequest) -> HttpResponse:
        seen.append(client_address.client_address())
        if len(seen) == 1:
            ClientAddressMiddleware(answer)(asked_by("192.0.2.9"))
            with ThreadPoolExecutor(1) as threads:
                seen.append(threads.submit(client_address.client_address).result())
            seen.append(client_address.client_address())
            raise ConnectionError
        return HttpResponse()

    with pytest.raises(ConnectionError):
        ClientAddressMiddleware(answer)(asked_by(address))
    seen.append(client_address.client_address())
    assert seen == [known, "192.0.2.9", None, known, None]
