"""A server that records how a client connects, and then disconnects."""

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
SECONDS = 5.0
USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass
class Listener:
    """Clients' messages: `clear` before or without TLS, `secured` within it."""

    port: int = 0
    clear: list[bytes] = field(default_factory=list)
    secured: list[bytes] = field(default_factory=list)

    @property
    def heard(self) -> tuple[bool, bool]:
        """Return whether anything arrived in the clear, and whether anything within TLS."""
        return bool(self.clear), bool(self.secured)


@dataclass(frozen=True)
class Certificate:
    """A certificate for this machine, and its issuer's."""

    authority: Path
    server: Path

    def context(self) -> ssl.SSLContext:
        """Return a server's TLS context with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server)
        return context


def redis(talk: socket.socket, context: ssl.SSLContext, noted: Listener) -> None:
    """Expect TLS from the first byte as Redis does, and record anything else."""
    if talk.recv(1, socket.MSG_PEEK) != b"\x16":
        noted.clear.append(talk.recv(1000))
        return
    _secure(talk, context, noted)


def postgresql(talk: socket.socket, context: ssl.SSLContext, noted: Listener) -> None:
    """Start TLS on the client's request as PostgreSQL does."""
    first = talk.recv(1000)
    if first != SSL_REQUEST:
        noted.clear.append(first)
        return
    talk.sendall(b"S")
    _secure(talk, context, noted)


def postgresql_without(talk: socket.socket, context: ssl.SSLContext, noted: Listener) -> None:
    """Refuse TLS."""
    first = talk.recv(1000)
    if first == SSL_REQUEST:
        talk.sendall(b"N")
        first = talk.recv(1000)
    if first:
        noted.clear.append(first)


def smtp(talk: socket.socket, context: ssl.SSLContext, noted: Listener) -> None:
    """Act as a mail server with STARTTLS, or with TLS from the first byte."""
    talk.settimeout(0.2)
    with suppress(TimeoutError):
        if talk.recv(1, socket.MSG_PEEK) == b"\x16":
            talk.settimeout(SECONDS)
            return _secure(talk, context, noted, b"220 here\r\n")
    talk.settimeout(SECONDS)
    talk.sendall(b"220 here\r\n")
    talk.recv(1000)
    talk.sendall(b"250-here\r\n250 STARTTLS\r\n")
    said = talk.recv(1000)
    if said.strip() != b"STARTTLS":
        noted.clear.append(said)
        return None
    talk.sendall(b"220 go\r\n")
    return _secure(talk, context, noted)


def _secure(
    talk: socket.socket, context: ssl.SSLContext, noted: Listener, greeting: bytes = b""
) -> None:
    with context.wrap_socket(talk, server_side=True) as secure:
        if greeting:
            secure.sendall(greeting)
        if said := secure.recv(1000):
            noted.secured.append(said)


@contextmanager
def listening(
    certificate: Certificate,
    protocol: Callable[[socket.socket, ssl.SSLContext, Listener], None],
    host: str = "127.0.0.1",
) -> Iterator[Listener]:
    """Run a server on this machine for the context."""
    noted, context = Listener(), certificate.context()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        noted.port = server.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    talk, _ = server.accept()
                except OSError:
                    return
                talk.settimeout(SECONDS)
                with talk, suppress(OSError):
                    protocol(talk, context, noted)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield noted
        server.shutdown(socket.SHUT_RDWR)
    thread.join(SECONDS)


def make_certificate(folder: Path) -> Certificate:
    """Make a certificate of our own authority, which clients trust only if configured to."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    # Python 3.13 trusts no authority without its usage, and no certificate without key identifiers.
    usage = x509.KeyUsage(**dict.fromkeys(USAGES, False) | {"key_cert_sign": True})
    root = _sign(_unsigned(issuer, issuer, authority_key, constraints, usage), authority_key)
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ip_address("127.0.0.1")),
            x509.IPAddress(ip_address("::1")),
        ]
    )
    signed = _sign(_unsigned(own, issuer, key, names), authority_key)
    made = Certificate(folder / "authority.pem", folder / "server.pem")
    made.authority.write_bytes(root.public_bytes(serialization.Encoding.PEM))
    made.server.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


def _unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension in extensions:
        is_critical = isinstance(extension, x509.BasicConstraints | x509.KeyUsage)
        builder = builder.add_extension(extension, critical=is_critical)
    return builder


def _sign(
    certificate: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return certificate.add_extension(issuer, critical=False).sign(key, hashes.SHA256())
