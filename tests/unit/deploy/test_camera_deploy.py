"""The files in deploy/ that run a camera fit the program."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.unit.deploy.test_deploy import stages
from tests.unit.made.deploy_files import loads_as_the_defaults, objections, undescribed, unit

from cmfm_cameras.settings.load import EXAMPLE_HEADING, load_with_sources
from cmfm_cameras.settings.model import CameraSettings
from cmfm_settings.example import example_file

REPOSITORY = Path(__file__).parents[3]
DEPLOY = REPOSITORY / "deploy"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
UNIT = "cmfm-camera@.service"


def test_example_file_has_every_key_with_its_description_and_default(tmp_path: Path) -> None:
    """deploy/camera.toml is what `cmfm-camera example` prints, and loads as the defaults do."""
    text = (DEPLOY / "camera.toml").read_text()
    assert text == example_file(CameraSettings, EXAMPLE_HEADING), (
        "run: cmfm-camera example > deploy/camera.toml"
    )
    assert loads_as_the_defaults(text, load_with_sources, tmp_path)


def test_every_key_is_described() -> None:
    """No key is left to be guessed."""
    assert undescribed(CameraSettings()) == []


def test_systemd_unit_starts_again_but_not_with_bad_settings() -> None:
    """It waits for READY=1, and its watchdog leaves a hung driver to the process's own limit first."""
    service = unit(UNIT)["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert int(service["WatchdogSec"]) > CameraSettings().camera.hang_limit_s
    assert service["CapabilityBoundingSet"] == ""
    assert service["User"] != "root"
    assert service["ExecStart"].split()[0].rsplit("/", 1)[-1] in PROJECT["scripts"]
    assert "%i" in service["ExecStart"]


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """systemd itself finds nothing to object to."""
    assert objections(UNIT, "cmfm-camera", tmp_path / "cmfm-camera@left.service") == ""


def test_the_image_has_what_the_camera_imports() -> None:
    """Its dependencies are those of pyproject.toml, with the same limits, and no torch."""
    debian, install = (rest for word, rest in stages()["camera"] if word == "RUN")
    named = set(re.findall(r'"([^"]+)"', install))
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *extras["genicam"],
        *extras["realsense"],
        *(each for each in extras["plc"] if "pymodbus" in each),
    ]
    extra = {requirement.split(";")[0].strip() for requirement in wanted}
    known = {*PROJECT["dependencies"], *extra}
    assert "libusb-1.0-0" in debian.split()
    assert named - known == set()
    assert extra <= named
    assert not [name for name in named if name.startswith("torch")]
    assert ("USER", "10001") in stages()["camera"]


def test_the_camera_runs_with_the_packages_of_its_image_alone() -> None:
    """Importing every module that runs without another vendor's package loads nothing that the image lacks."""
    pytest.importorskip("genicam", reason="needs the extra genicam")
    program = (
        "import sys, cmfm_cameras.app, cmfm_cameras.run, cmfm_cameras.commands.look, cmfm_cameras.commands.record\n"
        "from cmfm_cameras.device import adapter_of\n"
        "for kind in ('folder', 'genicam', 'recording', 'two_devices', 'profiler'):\n"
        "    adapter_of(kind)\n"
        "import cmfm_cameras.gentl.session, cmfm_cameras.gentl.points, cmfm_cameras.gentl.colour\n"
        "absent = {'torch', 'timm', 'safetensors', 'pykdtree', 'tomli_w', 'cmfm_worker', 'pymodbus', 'gpiod'}\n"
        "print(sorted(absent & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
