"""The server's own certificate: RSA 2048, self-signed, made at the first start or by a command."""

import ipaddress
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cmfm_gateway.errors import InputError
from cmfm_gateway.opcua.trust_list import OWN, read_certificate
from cmfm_settings.private_file import write_private

CERTIFICATE: Final = "server.der"
KEY: Final = "server.key.pem"
RSA_BITS: Final = 2048
PUBLIC_EXPONENT: Final = 65_537
VALID: Final = timedelta(days=3650)
CLOCK_SLACK: Final = timedelta(days=1)
"""A client whose clock is slow must not find the certificate of today invalid."""


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """Where certificate and key lie."""

    certificate: Path
    key: Path


def own_files(folder: Path) -> OwnFiles:
    """Return the paths below the folder of certificates."""
    return OwnFiles(folder / OWN / CERTIFICATE, folder / OWN / KEY)


def ensure_certificate(folder: Path, uri: str, hosts: tuple[str, ...]) -> OwnFiles:
    """Return certificate and key, made if they are not there.

    Raises InputError if one of the two is missing or the certificate is for another application URI.
    """
    files = own_files(folder)
    if not files.certificate.exists() and not files.key.exists():
        make_certificate(files, uri, hosts)
    for path in (files.certificate, files.key):
        if not path.is_file():
            raise InputError(f"{path}: no such file; certificate and key belong together")
    certificate = read_certificate(files.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if uri not in names.get_values_for_type(x509.UniformResourceIdentifier):
        raise InputError(
            f"{files.certificate}: made for another application URI than {uri!r}; make a new one with "
            "cmfm-gateway opcua certificate --new"
        )
    return files


def make_certificate(files: OwnFiles, uri: str, hosts: tuple[str, ...]) -> x509.Certificate:
    """Make and write a key and a self-signed certificate for the hosts, replacing what was there."""
    key = rsa.generate_private_key(PUBLIC_EXPONENT, RSA_BITS)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"cmfm-gateway@{socket.gethostname()}"[:64]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "cmfm"),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_names(uri, hosts)), critical=False)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(files.key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.certificate.write_bytes(certificate.public_bytes(Encoding.DER))
    return certificate


def _names(uri: str, hosts: tuple[str, ...]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    for host in dict.fromkeys((*hosts, socket.gethostname(), "localhost", "127.0.0.1")):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
