"""The files in deploy/ that run a photo-eye fit the program."""

from pathlib import Path

from tests.unit.made.deploy_files import loads_as_the_defaults, objections, undescribed, unit

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
    assert loads_as_the_defaults(text, load_with_sources, tmp_path)


def test_every_key_is_described() -> None:
    """No key is left to be guessed."""
    assert undescribed(TriggerSettings()) == []


def test_systemd_unit_starts_again_but_not_with_bad_settings(tmp_path: Path) -> None:
    """It waits for READY=1 and runs without rights of its own; systemd finds nothing to object to."""
    service = unit(UNIT)["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ExecStart"].endswith("cmfm-camera trigger --config /etc/cmfm/trigger-%i.toml")
    assert objections(UNIT, "cmfm-camera", tmp_path / "cmfm-trigger@left.service") == ""
