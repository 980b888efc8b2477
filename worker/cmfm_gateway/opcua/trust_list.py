"""The certificate folders of the server: `trusted`, `rejected` and `own`.

A client is trusted if its certificate lies in `trusted`, or if a certificate authority that lies there has issued it
and no revocation list (*.crl) there names it. Files are DER or PEM.
"""

import re
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cmfm_gateway.errors import InputError

TRUSTED: Final = "trusted"
REJECTED: Final = "rejected"
OWN: Final = "own"

MAX_REJECTED: Final = 100
"""Refused certificates that are kept; the oldest go first."""

SUFFIXES: Final = frozenset({".der", ".pem", ".cer", ".crt"})

Listing = tuple[tuple[str, int, int], ...]


def thumbprint(certificate: x509.Certificate) -> str:
    """Return the SHA-1 thumbprint in hex, by which OPC UA tools name a certificate."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303  the standard's name of a certificate


def common_name(certificate: x509.Certificate) -> str:
    """Return the subject's common name, or an empty text."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""


class TrustList:
    """The folders below `folder`. They are read again when a file in them changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: Listing | None = None
        self._trusted: list[x509.Certificate] = []
        self._revoked: list[x509.CertificateRevocationList] = []

    def trusts(self, certificate: x509.Certificate) -> bool:
        """Tell whether the certificate, or the authority that issued it, is trusted."""
        self._refresh()
        if certificate in self._trusted:
            return True
        return any(_issued(authority, certificate) for authority in self._trusted) and not any(
            crl.issuer == certificate.issuer
            and crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None
            for crl in self._revoked
        )

    def keep_rejected(self, certificate: x509.Certificate) -> None:
        """Write a refused certificate to `rejected`, for a person to accept. The disk may refuse it."""
        folder = self.folder / REJECTED
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _file_of(folder, certificate).write_bytes(certificate.public_bytes(Encoding.DER))
            kept = sorted(folder.glob("*.der"), key=lambda path: path.stat().st_mtime)
            for path in kept[:-MAX_REJECTED]:
                path.unlink(missing_ok=True)
        except OSError:
            return

    def rejected(self) -> list[x509.Certificate]:
        """Return the refused certificates, newest last. Those that are trusted by now are left out."""
        self._refresh()
        folder = self.folder / REJECTED
        files = sorted(folder.glob("*.der"), key=lambda path: path.stat().st_mtime)
        found = [read_certificate(path) for path in files]
        return [certificate for certificate in found if certificate not in self._trusted]

    def trusted(self) -> list[x509.Certificate]:
        """Return the trusted certificates."""
        self._refresh()
        return list(self._trusted)

    def trust(self, mark: str) -> x509.Certificate:
        """Move the refused certificate with a thumbprint, or its unique beginning, to `trusted`.

        Raises InputError if none or several have it.
        """
        found = self._find(REJECTED, mark)
        source = _file_of(self.folder / REJECTED, found)
        self.add(found)
        source.unlink(missing_ok=True)
        return found

    def add(self, certificate: x509.Certificate) -> None:
        """Trust a certificate from now on."""
        folder = self.folder / TRUSTED
        folder.mkdir(parents=True, exist_ok=True)
        _file_of(folder, certificate).write_bytes(certificate.public_bytes(Encoding.DER))

    def distrust(self, mark: str) -> x509.Certificate:
        """Take a certificate out of `trusted`. Raises InputError if none or several have the thumbprint."""
        found = self._find(TRUSTED, mark)
        for path in _files(self.folder / TRUSTED):
            if path.suffix.lower() in SUFFIXES and read_certificate(path) == found:
                path.unlink()
        return found

    def _find(self, kind: str, mark: str) -> x509.Certificate:
        wanted = mark.replace(":", "").replace(" ", "").upper()
        listed = self.rejected() if kind == REJECTED else self.trusted()
        found = [certificate for certificate in listed if thumbprint(certificate).startswith(wanted)]
        if not wanted or len(found) != 1:
            known = ", ".join(thumbprint(certificate) for certificate in listed) or "the folder is empty"
            raise InputError(
                f"{self.folder / kind}: {len(found)} certificates have the thumbprint {mark!r}; {known}"
            )
        return found[0]

    def _refresh(self) -> None:
        files = _files(self.folder / TRUSTED)
        seen = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files)
        if seen == self._seen:
            return
        self._trusted = [read_certificate(path) for path in files if path.suffix.lower() in SUFFIXES]
        self._revoked = [_read_crl(path) for path in files if path.suffix.lower() == ".crl"]
        self._seen = seen


def read_certificate(path: Path) -> x509.Certificate:
    """Read a DER or PEM file. Raises InputError naming it."""
    try:
        content = path.read_bytes()
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificate(content)
        return x509.load_der_x509_certificate(content)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a certificate: {error}") from error


def _read_crl(path: Path) -> x509.CertificateRevocationList:
    content = path.read_bytes()
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_crl(content)
        return x509.load_der_x509_crl(content)
    except ValueError as error:
        raise InputError(f"{path}: not a revocation list: {error}") from error


def _issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(authority)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return constraints.ca


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []


def _file_of(folder: Path, certificate: x509.Certificate) -> Path:
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", common_name(certificate))[:40].strip(".")
    return folder / f"{name}_{thumbprint(certificate)}.der"
