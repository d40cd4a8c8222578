"""Every address and method that clients use reaches a route; others get an error."""

import pytest

from tests.tagoio_api.conftest import Api, Sensor

ID = "0" * 24
CRUD = ("GET", "PUT", "DELETE")
BOTH = ("GET", "POST")
ALL = ("GET", "POST", "PUT", "DELETE")
# With a profile's token; see the wire protocol of TagoIO's clients.
ROUTES: dict[str, tuple[str, ...]] = {
    "/status": ("GET",),
    "/info": ("GET",),
    "/account/login": ("POST",),
    "/account/profile/token": ("POST",),
    "/account": ("GET", "PUT"),
    "/device": BOTH,
    f"/device/{ID}": CRUD,
    f"/device/{ID}/params": BOTH,
    f"/device/{ID}/params/{ID}": ("DELETE",),
    f"/device/token/{ID}": ("GET", "DELETE"),
    "/device/token": ("POST",),
    f"/device/{ID}/data": ALL,
    f"/device/{ID}/data_amount": ("GET",),
    f"/bucket/{ID}/data_amount": ("GET",),
    f"/device/{ID}/empty": ("POST",),
    f"/device/{ID}/chunk": ("GET",),
    f"/device/{ID}/chunk/0_86400": ("DELETE",),
    f"/device/{ID}/chunk/backup": ("POST",),
    f"/device/{ID}/chunk/copy": ("POST",),
    f"/device/{ID}/data/backup": ("POST",),
    f"/device/{ID}/data/restore": ("POST",),
    f"/device/{ID}/convert": ("POST",),
    f"/device/{ID}/statistics": ("GET",),
    "/analysis/": BOTH,
    f"/analysis/{ID}": CRUD,
    f"/analysis/{ID}/upload": ("POST",),
    f"/analysis/{ID}/download": ("GET",),
    f"/analysis/{ID}/run": ("POST",),
    f"/analysis/{ID}/token": ("GET",),
    "/analysis/services/console/send": ("POST",),
    "/dashboard": BOTH,
    f"/dashboard/{ID}": CRUD,
    f"/dashboard/{ID}/widget/": ("POST",),
    f"/dashboard/{ID}/widget/{ID}": CRUD,
    "/action": BOTH,
    f"/action/{ID}": CRUD,
    "/am": BOTH,
    f"/am/{ID}": CRUD,
    "/dictionary": BOTH,
    f"/dictionary/{ID}": CRUD,
    f"/dictionary/{ID}/en-US": CRUD,
    "/run": ("GET", "PUT"),
    "/run/users": BOTH,
    f"/run/users/{ID}": CRUD,
    f"/run/users/{ID}/login": ("GET",),
    "/secrets": BOTH,
    f"/secrets/{ID}": CRUD,
    "/integration/network/": BOTH,
    f"/integration/network/{ID}": CRUD,
    f"/integration/network/token/{ID}": ("GET", "DELETE"),
    "/integration/network/token": ("POST",),
    "/integration/connector/": BOTH,
    f"/integration/connector/{ID}": CRUD,
    "/profile/": BOTH,
    "/profile/current": ("GET", "PUT"),
    "/profile/current/summary": ("GET",),
    "/profile/current/statistics": ("GET",),
    "/profile/current/token": BOTH,
    f"/profile/current/token/{ID}": ("DELETE",),
    "/profile/current/backup": BOTH,
    f"/profile/current/backup/{ID}/download": ("POST",),
    "/tags/keys/device": ("GET",),
    "/entity": BOTH,
    f"/entity/{ID}": CRUD,
    f"/entity/{ID}/data": ALL,
    f"/entity/{ID}/data_amount": ("GET",),
    f"/entity/{ID}/schema": ("PUT",),
    f"/entity/{ID}/empty": ("POST",),
    "/files": ALL,
    "/files/copy": ("PUT",),
    "/files/permission": ("GET", "PUT"),
    f"/file/{ID}/a/b.txt": ("GET",),
    "/events": ("GET",),
}
DEVICE_ROUTES: dict[str, tuple[str, ...]] = {
    "/info": ("GET",),
    "/data": ALL,
    "/device/params": ("GET",),
    f"/device/params/{ID}": ("PUT",),
}
NOT_OFFERED = (
    *(("GET", "/sql"), ("GET", "/template"), ("GET", "/tcore/instance"), ("GET", "/pricing")),
    *(("GET", "/account/plan"), ("GET", "/account/subscription"), ("GET", "/serviceauth")),
    *(("GET", "/notification/"), ("PUT", "/notification/read"), ("POST", "/run/notification/")),
    *(("POST", f"/dashboard/{ID}/duplicate"), ("GET", f"/dashboard/{ID}/share/public")),
    *(("GET", f"/dashboard/{ID}/devices"), ("GET", "/"), ("POST", "/nowhere/at/all")),
)
NO_ROUTE = "Route not found"


def test_every_method_of_every_address_reaches_its_route(api: Api, sensor: Sensor) -> None:
    for routes, caller in ((ROUTES, api), (DEVICE_ROUTES, sensor)):
        for path, methods in routes.items():
            for method in methods:
                status, answer = caller.call(method, path, {})
                assert answer != NO_ROUTE, (method, path)
                assert status < 500, (method, path, answer)


@pytest.mark.parametrize(("method", "path"), NOT_OFFERED)
def test_what_is_not_offered_is_said_so(api: Api, method: str, path: str) -> None:
    status, message = api.call(method, path, {})
    assert (status, message) == (404, NO_ROUTE)
