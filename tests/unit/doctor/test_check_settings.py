"""The check of the settings: device, gateway and page against line.toml, and whose environment counts."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.made.examined import outcomes, said, settings, visit

from cmfm_worker.doctor.check_settings import check_settings, program_findings, read_other
from cmfm_worker.doctor.findings import Outcome
from cmfm_worker.doctor.systemd_unit import Unit, read_unit, unit_of
from cmfm_worker.doctor.visit import OtherProgram
from cmfm_worker.errors import InputError
from cmfm_worker.settings.model import Settings


def test_device_that_is_not_there_is_to_do(tmp_path: Path) -> None:
    """The worker would not start."""
    given = settings(tmp_path, device={"name": "cuda:99", "warmup_px": 64})
    assert "cuda:99" in said(check_settings(visit(tmp_path, settings=given), {}), Outcome.TO_DO)


def test_variables_of_this_shell_are_said(tmp_path: Path) -> None:
    """They count here; the service may have others."""
    found = check_settings(visit(tmp_path), {"CMFM_LEDGER__PATH": "x", "CMFM": "y", "HOME": "/root"})
    assert "variables of this shell count: CMFM_LEDGER__PATH" in said(found, Outcome.NOTE)


def test_gateway_that_reads_another_line_is_to_do(tmp_path: Path) -> None:
    """Another station or another port: it would hear nothing. Hosts may be named in different ways."""
    worker = {"line": "line1", "station": "station2", "results": "tcp://worker:5556", "maps": ""}
    other = OtherProgram("cmfm-gateway", Path("gateway.toml"), {"worker": worker})
    told = said(program_findings(other, Settings()), Outcome.TO_DO)
    assert "worker.station = 'station2', and line.toml has line.station = 'station1'" in told
    assert "results" not in told
    wrong = OtherProgram("cmfm-gateway", Path("gateway.toml"), {"worker": {"results": "tcp://worker:6556"}})
    assert "sockets.results" in said(program_findings(wrong, Settings()), Outcome.TO_DO)


def test_page_that_reads_other_files_is_to_do(tmp_path: Path) -> None:
    """It would show the ledger of another line. A link to the same file is the same file."""
    given = settings(tmp_path)
    (tmp_path / "ledger.sqlite").touch()
    (tmp_path / "link").symlink_to(tmp_path / "ledger.sqlite")
    for path, outcome in ((tmp_path / "link", Outcome.GOOD), (tmp_path / "other.sqlite", Outcome.TO_DO)):
        records = {"ledger": str(path), "kept": str(tmp_path / "kept")}
        other = OtherProgram("cmfm-hmi", Path("hmi.toml"), {"records": records})
        assert outcomes(program_findings(other, given)) == [outcome]


def test_gateway_and_page_that_name_other_files_are_to_do(tmp_path: Path) -> None:
    """The page would be read-only for ever, or taking over would never reach the PLC."""
    files = {"takeover": "/run/takeover.json", "owner": None}
    gateway = OtherProgram("cmfm-gateway", Path("gateway.toml"), {"gateway": files})
    for theirs, told in (
        ({"takeover": "/run/takeover.json", "owner": None}, []),
        ({"takeover": None, "owner": None}, ["gateway.takeover"]),
        ({"takeover": "/run/takeover.json", "owner": "/run/owner.json"}, ["access.owner"]),
    ):
        page = OtherProgram("cmfm-hmi", Path("hmi.toml"), {"access": theirs})
        found = said(check_settings(visit(tmp_path, others=(gateway, page)), {}), Outcome.TO_DO)
        assert [name for name in ("gateway.takeover", "access.owner") if name in found] == told


def test_problems_that_a_program_knows_of_itself_are_to_do() -> None:
    """The output of `cmfm-gateway check`."""
    other = OtherProgram("cmfm-gateway", Path("gateway.toml"), {}, ("no adapter is enabled",))
    assert "no adapter is enabled" in said(program_findings(other, Settings()), Outcome.TO_DO)


def test_the_real_gateway_is_asked(tmp_path: Path) -> None:
    """Its settings come with their defaults; a file that it cannot read is an error with its own words."""
    config = tmp_path / "gateway.toml"
    config.write_text("[modbus]\nenabled = true\nport = 1502\n")
    other = read_other("cmfm-gateway", config)
    assert other.values["modbus"]["port"] == 1502
    assert outcomes(program_findings(other, Settings())) == [Outcome.GOOD]
    config.write_text("[modbus]\nport = 0\n")
    with pytest.raises(InputError, match=r"modbus\.port"):
        read_other("cmfm-gateway", config)


def test_program_that_is_not_installed_is_an_error(tmp_path: Path) -> None:
    """The message is the last line that the child printed."""

    def gone(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(command, 1, "", "Traceback …\nNo module named cmfm_hmi\n")

    with pytest.raises(InputError, match="No module named cmfm_hmi"):
        read_other("cmfm-hmi", tmp_path / "hmi.toml", gone)


SHOWN = """LoadState=loaded
ExecStart={ path=/opt/cmfm/venv/bin/cmfm-worker ; argv[]=/opt/cmfm/venv/bin/cmfm-worker --config /etc/cmfm/line.toml }
Environment=CMFM_LOG__FORMAT=json "CMFM_KEPT__FOLDER=/var/lib/cm fm/kept"
User=cmfm
LimitNOFILE=524288
LimitMEMLOCK=infinity
Nice=0
"""


def test_unit_of_systemd_is_read() -> None:
    """Variables with spaces, limits with and without a number."""
    unit = read_unit("cmfm-worker", lambda _: SHOWN)
    assert unit.environment == {"CMFM_LOG__FORMAT": "json", "CMFM_KEPT__FOLDER": "/var/lib/cm fm/kept"}
    assert (unit.user, unit.open_files, unit.locked_memory, unit.nice) == ("cmfm", 524288, None, 0)


def test_usual_unit_counts_if_it_runs_this_file(tmp_path: Path) -> None:
    """A unit for another file says nothing about this one; a unit that was named must be there."""
    assert unit_of(Path("/etc/cmfm/line.toml"), "", lambda _: SHOWN) is not None
    assert unit_of(tmp_path / "line.toml", "", lambda _: SHOWN) is None
    assert unit_of(tmp_path / "line.toml", "", lambda _: None) is None
    assert isinstance(unit_of(tmp_path / "line.toml", "mine", lambda _: SHOWN), Unit)
    with pytest.raises(InputError, match="systemd does not answer"):
        unit_of(tmp_path / "line.toml", "mine", lambda _: None)
    with pytest.raises(InputError, match="no such unit"):
        unit_of(tmp_path / "line.toml", "mine", lambda _: "LoadState=not-found\n")


def test_unit_is_said(tmp_path: Path) -> None:
    """A reader knows whose variables counted."""
    unit = read_unit("cmfm-worker", lambda _: SHOWN)
    assert "systemd unit cmfm-worker" in said(check_settings(visit(tmp_path, unit=unit), {}), Outcome.NOTE)
