"""Certificates of clients: whether the server trusts one, and the folder of those that it refused."""

from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from cmfm_gateway.errors import InputError
from cmfm_gateway.opcua.serving.refusals import CutOffError
from cmfm_gateway.opcua.trust_list import TrustList, thumbprint

MIN_RSA_BITS: Final = 2048
MAX_CERTIFICATE_BYTES: Final = 8192


class ClientCertificates:
    """Decides by the trust list, whose folder is read again for every channel."""

    def __init__(self, trust_list: TrustList) -> None:
        self._trust_list = trust_list

    def require_trusted(self, der: bytes) -> None:
        """Raise CutOffError unless the certificate is valid and trusted. Keeps one that is not trusted."""
        if len(der) > MAX_CERTIFICATE_BYTES:
            raise _bad("", f"{len(der)} bytes")
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise _bad("", str(error)) from error
        mark = thumbprint(certificate)
        now = datetime.now(UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise _bad(mark, "not valid at this time")
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey) or key.key_size < MIN_RSA_BITS:
            raise _bad(mark, f"not an RSA key of {MIN_RSA_BITS} bits or more")
        if not self._is_trusted(certificate):
            self._trust_list.keep_rejected(certificate)
            raise CutOffError(
                "untrusted_certificate",
                ua.StatusCodes.BadSecurityChecksFailed,
                f"{mark}; accept it with: cmfm-gateway opcua trust {mark}",
            )

    def _is_trusted(self, certificate: x509.Certificate) -> bool:
        """Ask the trust list. One that cannot be read trusts nobody."""
        try:
            return self._trust_list.trusts(certificate)
        except InputError as error:
            raise _bad(thumbprint(certificate), str(error)) from error

    async def require_description(self, certificate: x509.Certificate, description: Any) -> None:
        """Raise ServiceError if the client's application URI is not that of its certificate (OPC 10000-4, 6.1.3)."""
        try:
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            raise ServiceError(ua.StatusCodes.BadCertificateUriInvalid) from None
        if description.ApplicationUri not in names.get_values_for_type(x509.UniformResourceIdentifier):
            raise ServiceError(ua.StatusCodes.BadCertificateUriInvalid)


def _bad(mark: str, why: str) -> CutOffError:
    return CutOffError("bad_certificate", ua.StatusCodes.BadSecurityChecksFailed, f"{mark} {why}".strip())
