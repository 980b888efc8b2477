"""The files in deploy/ that run a photo-eye fit the program."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from cmfm_cameras.settings.trigger import EXAMPLE_HEADING, TriggerSettings, load_with_sources
from cmfm_settings.example import example_file

DEPLOY = Path(__file__).parents[3] / "deploy"
UNIT = "cmfm-trigger@.service"


def test_example_file_has_every_key_with_its_description_and_default(tmp_path: Path) -> None:
    """deploy/trigger.toml is what `cmfm-camera trigger example` prints, and loads as the defaults do."""
    text = (DEPLOY / "trigger.toml").read_text()
    assert text == example_file(TriggerSettings, EXAMPLE_HEADING), (
        "run: cmfm-camera trigger example > deploy/trigger.toml"
    )
    for name, content in (("example.toml", text), ("empty.toml", "")):
        (tmp_path / name).write_text(content)
    example, empty = (load_with_sources(tmp_path / name).settings for name in ("example.toml", "empty.toml"))
    assert example == empty


def test_every_key_is_described() -> None:
    """No key is left to be guessed."""
    for section in TriggerSettings.model_fields:
        for key, field in type(getattr(TriggerSettings(), section)).model_fields.items():
            assert field.description, f"{section}.{key}"
            assert field.description.rstrip().endswith("."), f"{section}.{key}"


def test_systemd_unit_starts_again_but_not_with_bad_settings(tmp_path: Path) -> None:
    """It waits for READY=1 and runs without rights of its own; systemd finds nothing to object to."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / UNIT)
    service = parser["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ExecStart"].endswith("cmfm-camera trigger --config /etc/cmfm/trigger-%i.toml")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    text = (DEPLOY / UNIT).read_text().replace("/opt/cmfm/venv/bin/cmfm-camera", "/bin/true")
    path = tmp_path / "cmfm-trigger@left.service"
    path.write_text(text.replace("User=cmfm", "User=root").replace("Group=cmfm", "Group=root"))
    checked = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False)
    assert "cmfm-trigger@left.service:" not in checked.stderr, checked.stderr
