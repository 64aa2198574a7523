"""A certificate authority for the sandbox, with the keys and certificates of its components."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.processes import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_LIFETIME: Final = dt.timedelta(days=30)


@dataclass(frozen=True)
class KeyPair:
    """The PEM files of a key and of its certificate, or of its public key."""

    key: Path
    certificate: Path


class Authority:
    """An authority that signs certificates for servers on loopback and for their clients."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._folder = folder
        self._certificate = certificate
        self._key = key
        self.path = folder / "ca.crt"

    @classmethod
    def create(cls, folder: Path) -> Self:
        """Create an authority with its files in this folder, which is created."""
        folder.mkdir(mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("sandbox-ca")
        certificate = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        authority = cls(folder, certificate, key)
        _write_certificate(authority.path, certificate)
        return authority

    def issue(self, name: str, *, expired: bool = False, hosts: Iterable[str] = (LOOPBACK, "localhost")) -> KeyPair:
        """Create a key and a certificate for a server or client, valid or expired.

        Args:
            name: the common name, and the name of the files.
            expired: whether the certificate has expired.
            hosts: the names and addresses of a server.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_host(host) for host in hosts]
        certificate = (
            _builder(_name(name), self._certificate.subject, key.public_key(), expired=expired)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = KeyPair(self._folder / f"{name}.key", self._folder / f"{name}.crt")
        _write_key(pair.key, key)
        _write_certificate(pair.certificate, certificate)
        return pair

    def signing_key(self, name: str) -> KeyPair:
        """Create a key that signs tokens; its `certificate` is the public key that verifies them."""
        key = ec.generate_private_key(ec.SECP256R1())
        pair = KeyPair(self._folder / f"{name}.key", self._folder / f"{name}.pub")
        _write_key(pair.key, key)
        pair.certificate.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        return pair


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, expired: bool = False
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC) - (2 * _LIFETIME if expired else dt.timedelta())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_certificate(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
