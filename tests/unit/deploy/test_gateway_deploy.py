"""The files in deploy/ that run the gateway fit the program."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from tests.unit.deploy.test_deploy import instructions, stages
from tests.unit.made.deploy_files import loads_as_the_defaults, objections, undescribed, unit

from cmfm_gateway.settings.load import EXAMPLE_HEADING, load_with_sources
from cmfm_gateway.settings.model import GatewaySettings
from cmfm_settings.example import example_file

REPOSITORY = Path(__file__).parents[3]
DEPLOY = REPOSITORY / "deploy"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_example_file_has_every_key_with_its_description_and_default(tmp_path: Path) -> None:
    """deploy/gateway.toml is what `cmfm-gateway example` prints, and loads as the defaults do."""
    text = (DEPLOY / "gateway.toml").read_text()
    assert text == example_file(GatewaySettings, EXAMPLE_HEADING), (
        "run: cmfm-gateway example > deploy/gateway.toml"
    )
    assert loads_as_the_defaults(text, load_with_sources, tmp_path)


def test_every_key_is_described() -> None:
    """No key is left to be guessed."""
    assert undescribed(GatewaySettings()) == []


def test_systemd_unit_starts_again_but_not_with_bad_settings() -> None:
    """It may bind port 502 and nothing else, and waits for READY=1."""
    service = unit("cmfm-gateway.service")["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "on-failure"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"
    assert service["User"] != "root"
    assert service["ExecStart"].split()[0].rsplit("/", 1)[-1] in PROJECT["scripts"]


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """systemd itself finds nothing to object to."""
    assert objections("cmfm-gateway.service", "cmfm-gateway", tmp_path / "cmfm-gateway.service") == ""


def test_the_image_has_what_the_gateway_imports() -> None:
    """Its dependencies are those of pyproject.toml, with the same limits, and no torch."""
    (install,) = [rest for word, rest in stages()["gateway"] if word == "RUN"]
    named = set(re.findall(r'"([^"]+)"', install))
    known = {*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["plc"]}
    assert named - known == set()
    assert set(PROJECT["optional-dependencies"]["plc"]) <= named
    assert not [name for name in named if name.startswith("torch")]


def test_the_gateway_runs_with_the_packages_of_its_image_alone() -> None:
    """Importing all of it loads nothing of torch or the worker, which the image lacks."""
    program = (
        "import sys, pkgutil, importlib, cmfm_gateway\n"
        "for found in pkgutil.walk_packages(cmfm_gateway.__path__, 'cmfm_gateway.'):\n"
        "    importlib.import_module(found.name)\n"
        "absent = {'torch', 'torchvision', 'timm', 'safetensors', 'pykdtree', 'tomli_w', 'cmfm_worker'}\n"
        "print(sorted(absent & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_compose_runs_gateway_and_broker_without_privileges() -> None:
    """Both are pinned or built here, write nothing but their volume, and read files that are there."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    assert services["gateway"]["build"]["target"] in stages()
    assert re.search(r":\d", services["broker"]["image"])
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (DEPLOY / source).is_file(), volume
    assert ("USER", "10001") in stages()["gateway"]
    assert instructions()
