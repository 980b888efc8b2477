"""Which client certificates are trusted, and how a person accepts one that was refused."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cmfm_gateway.errors import InputError
from cmfm_gateway.opcua.own_certificate import OwnFiles, ensure_certificate, make_certificate
from cmfm_gateway.opcua.trust_list import MAX_REJECTED, TrustList, thumbprint

AUTHORITY_KEY = rsa.generate_private_key(65537, 2048)


def issued(name: str, *, ca: bool, issuer: str = "plant CA") -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(AUTHORITY_KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(AUTHORITY_KEY, hashes.SHA256())
    )


def test_a_refused_certificate_is_listed_and_accepted_by_its_thumbprint(tmp_path: Path) -> None:
    """The beginning is enough if one alone has it; from then on it is trusted, and not listed as refused."""
    trust_list = TrustList(tmp_path)
    client, other = issued("plc", ca=False, issuer="plc"), issued("hmi", ca=False, issuer="hmi")
    assert not trust_list.trusts(client)
    trust_list.keep_rejected(client)
    trust_list.keep_rejected(other)
    assert {thumbprint(each) for each in trust_list.rejected()} == {thumbprint(client), thumbprint(other)}
    with pytest.raises(InputError, match="0 certificates"):
        trust_list.trust("ZZ")
    with pytest.raises(InputError, match="certificates have the thumbprint"):
        trust_list.trust("")
    mark = thumbprint(client)
    trust_list.trust(":".join(mark[at : at + 2] for at in range(0, 40, 2)).lower())
    assert trust_list.trusts(client)
    assert not trust_list.trusts(other)
    assert trust_list.rejected() == [other]
    trust_list.distrust(mark[:12])
    assert not trust_list.trusts(client)


def test_a_trusted_authority_vouches_for_what_it_issued_until_it_is_revoked(tmp_path: Path) -> None:
    """A certificate that is no authority vouches for nobody."""
    trust_list = TrustList(tmp_path)
    authority, client = issued("plant CA", ca=True), issued("plc", ca=False)
    trust_list.add(issued("plant CA", ca=False))
    assert not trust_list.trusts(client)
    trust_list.add(authority)
    assert trust_list.trusts(client)
    now = datetime.now(UTC)
    revoked = (
        x509.RevokedCertificateBuilder().serial_number(client.serial_number).revocation_date(now).build()
    )
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now)
        .next_update(now + timedelta(days=1))
        .add_revoked_certificate(revoked)
        .sign(AUTHORITY_KEY, hashes.SHA256())
    )
    (tmp_path / "trusted" / "plant.crl").write_bytes(crl.public_bytes(Encoding.PEM))
    assert not trust_list.trusts(client)


def test_refused_certificates_do_not_fill_the_disk(tmp_path: Path) -> None:
    """The oldest go."""
    trust_list = TrustList(tmp_path)
    folder = tmp_path / "rejected"
    folder.mkdir()
    for number in range(MAX_REJECTED + 5):
        path = folder / f"{number}.der"
        path.write_bytes(b"old")
        os.utime(path, (number, number))
    trust_list.keep_rejected(issued("plc", ca=False))
    assert len(list(folder.iterdir())) == MAX_REJECTED
    assert not (folder / "0.der").exists()


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    """It could be the one that somebody believes to be trusted."""
    (tmp_path / "trusted").mkdir()
    (tmp_path / "trusted" / "plc.pem").write_text("hello")
    with pytest.raises(InputError, match=r"plc\.pem"):
        TrustList(tmp_path).trusts(issued("plc", ca=False))


def test_the_servers_certificate_is_made_once_and_for_its_uri(tmp_path: Path) -> None:
    """The key is readable by its owner alone; another application URI needs another certificate."""
    files = ensure_certificate(tmp_path, "urn:a", ("host.example", "10.0.0.1"))
    assert files.key.stat().st_mode & 0o077 == 0
    content = files.certificate.read_bytes()
    assert ensure_certificate(tmp_path, "urn:a", ()).certificate.read_bytes() == content
    names = (
        x509.load_der_x509_certificate(content)
        .extensions.get_extension_for_class(x509.SubjectAlternativeName)
        .value
    )
    assert "host.example" in names.get_values_for_type(x509.DNSName)
    assert "10.0.0.1" in map(str, names.get_values_for_type(x509.IPAddress))
    with pytest.raises(InputError, match="urn:b"):
        ensure_certificate(tmp_path, "urn:b", ())
    files.key.unlink()
    with pytest.raises(InputError, match="belong together"):
        ensure_certificate(tmp_path, "urn:a", ())
    assert make_certificate(OwnFiles(files.certificate, files.key), "urn:b", ()) is not None
