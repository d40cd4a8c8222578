"""A real S3 server with object lock: SeaweedFS, with a locking and a plain bucket.

It stores objects over HTTP and itself refuses to delete or shorten locked ones, like a bucket at
Amazon; it is no imitation written for tests. The only known difference from Amazon: it can lock a
delete marker.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Any
from urllib.parse import urlencode

import botocore.session
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError

from backups_portal.demo.ports import LOOPBACK, is_free
from tests.s3 import KEY, SECRET

# May read, write and list, but not lock.
WEAK_KEY, WEAK_SECRET = "weak0123456789ab", "weak0123456789abcdef0123456789ab"
LOCKING, PLAIN = "locking", "plain"
PATIENCE = 60.0
STARTS = 3
PORTS = ("master", "volume", "filer", "s3")


@dataclass(frozen=True)
class LockServer:
    """A running server.

    Attributes:
        admin: A botocore client with every right, like an attacker's who stole all keys.
    """

    endpoint: str
    admin: Any

    def url(self, prefix: str, *, bucket: str = LOCKING, **parameters: str) -> str:
        """Return a storage URL with all parameters of a bucket."""
        query = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "allow_http": "true",
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "max_retries": "1",
            **parameters,
        }
        return f"s3://{bucket}/{prefix}?{urlencode(query)}"

    def versions(self, prefix: str) -> list[dict[str, Any]]:
        """Return every object version in a folder, and delete markers, which have no size."""
        found = []
        for page in self.admin.get_paginator("list_object_versions").paginate(
            Bucket=LOCKING, Prefix=f"{prefix}/"
        ):
            found += [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        return found


@contextmanager
def lock_server(folder: Path) -> Iterator[LockServer]:
    """Run a server with two empty buckets, stored in the folder."""
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": _identities()}))
    for _ in range(STARTS):
        ports = _free_ports(2 * len(PORTS))
        server = _start(folder, config, ports)
        try:
            if admin := _begin(server, ports[-1]):
                yield LockServer(_endpoint(ports[-1]), admin)
                return
        finally:
            # Its own shutdown takes a quarter of a minute.
            server.kill()
            server.wait()
            _forget_sockets(ports)
    raise AssertionError("the server does not start")


def _free_ports(count: int) -> list[int]:
    # Below the ephemeral ports that outgoing connections get: the server takes seconds to reach its
    # last port, which could be taken by then.
    numbers = SystemRandom().sample(range(12_000, 32_000), 10 * count)
    return [port for port in numbers if is_free(port)][:count]


def _start(folder: Path, config: Path, ports: list[int]) -> "subprocess.Popen[bytes]":
    """Start the server; the last port is for S3."""
    channels, own = ports[: len(PORTS)], ports[len(PORTS) :]
    return subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder}"),
            *(f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", "-filer", "-s3", f"-s3.config={config}"),
            *(f"-{name}.port={port}" for name, port in zip(PORTS, own, strict=True)),
            *(f"-{name}.port.grpc={port}" for name, port in zip(PORTS, channels, strict=True)),
            *("-master.volumeSizeLimitMB=64", "-volume.max=0", "-volume.preStopSeconds=0"),
            # Two servers would conflict on these.
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _forget_sockets(ports: list[int]) -> None:
    """Remove the sockets that it leaves."""
    for port in ports:
        for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108
            left.unlink(missing_ok=True)


def _listens(port: int) -> bool:
    # Do not try to listen there, which could block the server at that very moment.
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _endpoint(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _identities() -> list[dict[str, Any]]:
    def identity(name: str, key: str, secret: str, *actions: str) -> dict[str, Any]:
        credentials = [{"accessKey": key, "secretKey": secret}]
        return {"name": name, "credentials": credentials, "actions": actions}

    return [
        identity("portal", KEY, SECRET, "Admin"),
        identity("weak", WEAK_KEY, WEAK_SECRET, "Read", "Write", "List"),
    ]


def _begin(server: "subprocess.Popen[bytes]", port: int) -> Any:
    """Create the buckets; return None if the server has ended, for example on a taken port."""
    deadline = time.monotonic() + PATIENCE
    while not _listens(port) and time.monotonic() < deadline and server.poll() is None:
        time.sleep(0.1)
    admin = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=_endpoint(port),
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=Config(
            s3={"addressing_style": "path"},
            # It answers before it can store anything.
            retries={"total_max_attempts": 10, "mode": "standard"},
        ),
    )
    try:
        admin.create_bucket(Bucket=LOCKING, ObjectLockEnabledForBucket=True)
        admin.create_bucket(Bucket=PLAIN)
        admin.put_object(Bucket=LOCKING, Key="ready", Body=b"")
    except EndpointConnectionError:
        return None
    return admin
