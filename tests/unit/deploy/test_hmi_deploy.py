"""The files in deploy/ that run the operator's page fit the program."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from tests.unit.deploy.test_deploy import manifest, stages
from tests.unit.made.deploy_files import loads_as_the_defaults, objections, undescribed, unit

from cmfm_hmi.settings.load import EXAMPLE_HEADING, load_with_sources
from cmfm_hmi.settings.model import HmiSettings
from cmfm_settings.example import example_file
from cmfm_worker.settings.model import Settings

REPOSITORY = Path(__file__).parents[3]
DEPLOY = REPOSITORY / "deploy"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
UNIT = DEPLOY / "cmfm-hmi.service"


def test_example_file_has_every_key_with_its_description_and_default(tmp_path: Path) -> None:
    """deploy/hmi.toml is what `cmfm-hmi example` prints, and loads as the defaults do."""
    text = (DEPLOY / "hmi.toml").read_text()
    assert text == example_file(HmiSettings, EXAMPLE_HEADING), "run: cmfm-hmi example > deploy/hmi.toml"
    assert loads_as_the_defaults(text, load_with_sources, tmp_path)


def test_every_key_is_described() -> None:
    """No key is left to be guessed."""
    assert undescribed(HmiSettings()) == []


def environment(text: str) -> dict[str, str]:
    """The variables of a unit or a Dockerfile."""
    return dict(re.findall(r"(CMFM_\w+)=(\S+)", text))


def test_systemd_unit_starts_again_but_not_with_bad_settings() -> None:
    """It waits for READY=1, has no privilege, and goes behind the worker."""
    found = unit("cmfm-hmi.service")["Service"]
    assert found["Type"] == "notify"
    assert found["Restart"] == "on-failure"
    assert found["RestartPreventExitStatus"] == "2"
    assert found["CapabilityBoundingSet"] == ""
    assert found["User"] != "root"
    assert int(found["CPUWeight"]) < 100  # systemd's default, which the worker has
    assert found["ExecStart"].split()[0].rsplit("/", 1)[-1] in PROJECT["scripts"]


def test_page_and_its_commands_read_what_the_worker_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit and the image name the worker's own folders, by variables that exist."""
    worker = environment((DEPLOY / "cmfm-worker.service").read_text())
    page = environment(UNIT.read_text())
    same = {
        "CMFM_HMI_RECORDS__LEDGER": "CMFM_LEDGER__PATH",
        "CMFM_HMI_RECORDS__KEPT": "CMFM_KEPT__FOLDER",
        "CMFM_HMI_RECORDS__COLLECTED": "CMFM_COLLECTED__FOLDER",
        "CMFM_HMI_RECORDS__RECIPES": "CMFM_RECIPES__FOLDER",
    }
    for own, theirs in same.items():
        assert page[own] == worker[theirs] == page[theirs]
    image = environment("\n".join(rest for _, rest in stages()["hmi"]))
    for variables in (page, image):
        for name, value in variables.items():
            if name.startswith("CMFM_HMI_"):
                monkeypatch.setenv(name, value)
        settings = load_with_sources(DEPLOY / "hmi.toml").settings
        assert str(settings.records.ledger) == "/var/lib/cmfm/ledger.sqlite"
        assert settings.access.users.parent == settings.page.store.parent


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """systemd itself finds nothing to object to."""
    assert objections("cmfm-hmi.service", "cmfm-hmi", tmp_path / "cmfm-hmi.service") == ""


def test_the_image_has_what_the_page_imports() -> None:
    """It adds to the worker's image the extra `hmi`, with the same limits."""
    (install,) = [rest for word, rest in stages()["hmi"] if word == "RUN"]
    assert set(re.findall(r'"([^"]+)"', install)) == set(PROJECT["optional-dependencies"]["hmi"])
    assert [rest for word, rest in stages()["hmi"] if word == "USER"][-1] == "10001"


def test_the_page_runs_without_the_worker_and_torch() -> None:
    """Importing all of it loads nothing of the worker: killing, starting and watching it cost the line nothing."""
    program = (
        "import sys, pkgutil, importlib, cmfm_hmi\n"
        "for found in pkgutil.walk_packages(cmfm_hmi.__path__, 'cmfm_hmi.'):\n"
        "    importlib.import_module(found.name)\n"
        "absent = {'torch', 'torchvision', 'timm', 'safetensors', 'cmfm_worker', 'cmfm_gateway', 'cmfm_sim'}\n"
        "print(sorted(absent & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_compose_runs_the_page_without_privileges() -> None:
    """It writes the worker's volume alone and is built from our target."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    page = compose["services"]["hmi"]
    assert page["build"]["target"] in stages()
    assert page["read_only"] is True
    assert page["cap_drop"] == ["ALL"]
    assert "cap_add" not in page


def test_kubernetes_runs_the_page_beside_the_worker(tmp_path: Path) -> None:
    """Its settings are valid, name the worker's files, and serve the pod's loopback alone."""
    data = manifest("ConfigMap")["data"]
    config = tmp_path / "hmi.toml"
    config.write_text(data["hmi.toml"])
    page, line = load_with_sources(config).settings, Settings(**tomllib.loads(data["line.toml"]))
    assert page.page.host == "127.0.0.1"
    assert page.records.ledger == line.ledger.path
    assert page.records.kept == line.kept.folder
    assert page.records.recipes == line.recipes.folder
    assert page.records.collected == line.collected.folder
