"""The bundle for support: what is in it, and that no secret is."""

import csv
import io
import json
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import zmq
from tests.unit.made.examined import sound_recipe
from tests.unit.made.verdicts import result

from cmfm_gateway.settings.load import GATEWAY_FILE
from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_worker.doctor.bundle import LEDGER_ROWS, write_bundle
from cmfm_worker.doctor.secrets import REMOVED, Scrubber, texts_in_file
from cmfm_worker.doctor.visit import Options, OtherProgram, Visit
from cmfm_worker.errors import InputError
from cmfm_worker.line.records.ledger.writer import Ledger
from cmfm_worker.settings.load import load_settings

PASSWORD, IN_FILE, IN_TOML = "horse battery", "s3cret-broker", "inline-pass-word"
USER = "anna:administer:16384:8:1:c2FsdHNhbHRzYWx0:aGFzaGhhc2hoYXNoaGFzaA=="
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"


def nothing(_: Sequence[str]) -> str | None:
    return None


@pytest.fixture
def secrets() -> list[str]:
    """The texts that must not be in a bundle."""
    hashes = USER.split(":")[-2:]
    return [PASSWORD, IN_FILE, IN_TOML, *hashes, "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"]


@pytest.fixture
def line(tmp_path: Path, secrets: list[str]) -> Visit:
    """A line with a gateway, every kind of secret, and a log that tells them all."""
    sound_recipe(tmp_path)
    pair = KeyPair(*zmq.curve_keypair())
    write_pair(tmp_path, "worker", pair)
    secrets.append(pair.secret.decode())
    for name, text in (("password", f"{IN_FILE}\n"), ("users", f"{USER}\n"), ("tls.key", PEM)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    for folder in ("readers", "controllers"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tls.pem").write_text("")
    (tmp_path / "line.toml").write_text(
        '[curve]\nsecret_key = "worker.key_secret"\nreaders = "readers"\ncontrollers = "controllers"\n'
    )
    (tmp_path / "cmfm-gateway.toml").write_text(
        f'[opcua]\nusers = "users"\n[modbus]\ncertificate = "tls.pem"\nprivate_key = "tls.key"\n'
        f'[mqtt]\nuser = "u"\npassword = "{IN_TOML}"\n'
    )
    (tmp_path / "second.toml").write_text('[mqtt]\nuser = "u"\npassword_file = "password"\n')
    ledger = Ledger(tmp_path / "ledger.sqlite", flush_ms=10)
    for number in range(1, LEDGER_ROWS + 51):
        ledger.append(result(number, part_id=f"part {IN_FILE}" if number == 1040 else "part"))
    change = AuditRequest("1" * 32, "2" * 32, 1, f"anna {IN_FILE}", "threshold", "part", "0.5", "0.6")
    ledger.audit(change, lambda _: None)
    ledger.close()
    (tmp_path / "line.log").write_text("\n".join(["first", *secrets, "last"]))
    config = tmp_path / "line.toml"
    others = []
    for name in ("cmfm-gateway", "second"):
        path = tmp_path / f"{name}.toml"
        others.append(OtherProgram(name, path, GATEWAY_FILE.load(path).settings.model_dump(mode="json")))
    return Visit(config, load_settings(config), Options(), others=tuple(others))


def members(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def packed(line: Visit, **options: object) -> dict[str, str]:
    path = line.config.parent / "bundle.zip"
    given = {"log": line.config.parent / "line.log", "run": nothing, "environment": {"X_PASSWORD": PASSWORD}}
    write_bundle(path, line, {"report.txt": f"said {IN_FILE}"}, **(given | options))  # type: ignore[arg-type] # options by name
    return members(path)


def test_bundle_has_what_support_needs(line: Visit) -> None:
    """Report, settings with their sources, recipes, the newest rows, the log, versions."""
    found = packed(line)
    assert {
        "report.txt",
        "settings/line.json",
        "settings/cmfm-gateway.json",
        "versions.json",
        "machine.json",
    } <= set(found)
    assert "fail_at = 0.5" in found["recipes/part/recipe.toml"]
    rows = list(csv.DictReader(io.StringIO(found["ledger/rows.csv"])))
    assert (len(rows), rows[-1]["result_id"]) == (LEDGER_ROWS, str(LEDGER_ROWS + 50))
    assert "1000 triggers = 1000 PASS" in found["ledger/totals.txt"]
    (change,) = csv.DictReader(io.StringIO(found["ledger/audit.csv"]))
    assert (change["what"], change["subject"], change["after"]) == ("threshold", "part", "0.6")
    assert found["logs/line.log"].startswith("first\n")
    assert found["logs/line.log"].endswith("\nlast")
    assert json.loads(found["settings/line.json"])["curve"]["secret_key"]["source"] == "file"
    assert json.loads(found["versions.json"])["packages"]["torch"]


def test_no_secret_is_in_the_bundle(line: Visit, secrets: list[str]) -> None:
    """Neither their files nor their texts, wherever they stand: log, journal, report, a part's name."""
    found = packed(line, run=lambda _: "journal: " + " ".join(secrets))
    everything = "\n".join([*found, *found.values()])
    assert [secret for secret in secrets if secret in everything] == []
    assert not any(name.endswith(("users", "password", "tls.key", ".key_secret")) for name in found)
    assert found["logs/line.log"].count(REMOVED) == len(secrets)
    assert REMOVED in found["report.txt"]
    assert REMOVED in found["ledger/rows.csv"]
    assert REMOVED in found["ledger/audit.csv"]


def test_bundle_is_its_owners_and_replaces_nothing_halfway(line: Visit) -> None:
    """Mode 600, and a folder that is not there is an error that names it."""
    packed(line)
    folder = line.config.parent
    assert stat.S_IMODE((folder / "bundle.zip").stat().st_mode) == 0o600
    assert not list(folder.glob(".bundle.zip.*"))
    with pytest.raises(InputError, match="cannot be written"):
        write_bundle(folder / "gone" / "b.zip", line, {}, run=nothing, environment={})


def test_what_cannot_be_packed_is_named(line: Visit) -> None:
    """A damaged ledger does not cost support the rest."""
    line.settings.ledger.path.write_bytes(b"no ledger")  # type: ignore[union-attr] # this line has one
    found = packed(line)
    assert "ledger" in found["missing.txt"]
    assert "logs/line.log" in found


def test_journals_of_our_units_are_packed(line: Visit) -> None:
    """As far as systemd has any."""

    def journal(command: Sequence[str]) -> str | None:
        return "a line" if command[-1] == "--unit=cmfm-gateway" else "-- No entries --\n"

    found = packed(line, run=journal)
    assert found["logs/cmfm-gateway.journal.txt"] == "a line"
    assert "logs/cmfm-worker.journal.txt" not in found


@pytest.mark.parametrize("text", ["pass=word-of-anna", "QUJDREVGR0hJSktMTU5PUA==", 'key = "quoted secret"'])
def test_password_that_looks_like_an_assignment_is_one_secret(tmp_path: Path, text: str) -> None:
    """Only certificates of CURVE are taken apart."""
    (tmp_path / "password").write_text(f"# of the broker\n{text}\n")
    assert Scrubber(texts_in_file(tmp_path / "password")).clean(f"<{text}>") == f"<{REMOVED}>"


def test_longer_secrets_go_first(tmp_path: Path) -> None:
    """A secret that is part of another leaves nothing of it."""
    assert Scrubber(["abcd", "abcdefgh"]).clean("xabcdefghx abcd") == f"x{REMOVED}x {REMOVED}"
    assert Scrubber(["", "ab"]).clean("ab") == "ab"
    assert list(texts_in_file(tmp_path / "none")) == []
