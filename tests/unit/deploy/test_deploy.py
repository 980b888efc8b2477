"""The files in deploy/ fit the program: every key, path and command in them exists."""

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cmfm_cameras.app import app as camera_app
from cmfm_gateway.app import app as gateway_app
from cmfm_hmi.app import app as page_app
from cmfm_sim.app import app as sim_app
from cmfm_worker.app import app as worker_app
from cmfm_worker.line.builders import STOP_LIMIT_S
from cmfm_worker.line.service import DRAIN_LIMIT_S
from cmfm_worker.settings.model import Settings

REPOSITORY = Path(__file__).parents[3]
DEPLOY = REPOSITORY / "deploy"
SCRIPTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]


def instructions() -> list[tuple[str, str]]:
    """Dockerfile instructions with continued lines joined."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines()]
    split = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(word.upper(), rest) for word, rest in split]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Stage name → its instructions."""
    found: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for word, rest in instructions():
        if word == "FROM":
            current = found.setdefault(rest.split()[-1], [])
        current.append((word, rest))
    return found


def test_both_docker_targets_run_as_nobody_special() -> None:
    """The CPU and the CUDA image end as a user other than root."""
    for target in ("cpu", "cuda"):
        users = [rest for word, rest in stages()[target] if word == "USER"]
        assert users
        assert users[-1] not in ("root", "0")


def test_what_docker_copies_is_there() -> None:
    """Every COPY from the source tree names something that exists."""
    sources = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    assert sources
    for source in [path for paths in sources for path in paths]:
        assert (REPOSITORY / source).exists(), source


def test_docker_needs_no_moving_base_and_no_secrets() -> None:
    """Base images are pinned to a release, and nothing is fetched with ADD or as `latest`."""
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    known = set(stages())
    assert all(base in known or re.search(r":\d", base) for base in bases)
    assert not [rest for word, rest in instructions() if word == "ADD" or ":latest" in rest]


def test_docker_starts_a_command_that_exists() -> None:
    """Each entry point is one of our scripts."""
    entries = [rest for word, rest in instructions() if word == "ENTRYPOINT"]
    assert len(entries) == 4  # worker, gateway, camera and page
    assert all(entry.strip('[]"') in SCRIPTS for entry in entries)


def unit() -> configparser.ConfigParser:
    """The systemd unit."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / "cmfm-worker.service")
    return parser


def test_systemd_unit_drains_and_does_not_restart_bad_settings() -> None:
    """SIGTERM with more time than the worker's drain limit; exit code 2 is not tried again."""
    service = unit()["Service"]
    assert service["KillSignal"] == "SIGTERM"
    assert service["Restart"] == "on-failure"  # 1, 3, 4, 5 and the watchdog
    assert int(service["TimeoutStopSec"]) > 60
    assert service["RestartPreventExitStatus"] == "2"
    assert service["User"] != "root"
    assert service["ExecStart"].split()[0].rsplit("/", 1)[-1] in SCRIPTS


def test_systemd_learns_of_the_service_s_life() -> None:
    """The unit waits for READY=1, lets the worker find a hung device before the watchdog does, and can reload."""
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert service["NotifyAccess"] == "main"
    assert int(service["WatchdogSec"]) > Settings().device.hang_limit_s
    assert service["ExecReload"].endswith("kill -HUP $MAINPID")


def manifest(kind: str) -> dict[str, Any]:
    """The document of a kind in the Kubernetes example."""
    documents = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))
    (found,) = [document for document in documents if document["kind"] == kind]
    return dict(found)


def test_kubernetes_example_runs_what_we_ship() -> None:
    """Its settings are a valid line.toml with the port that the probes ask, and each path lies on a volume."""
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    container = next(each for each in pod["containers"] if each["name"] == "worker")
    line = Settings(**tomllib.loads(manifest("ConfigMap")["data"]["line.toml"]))
    assert container["ports"] == [{"name": "http", "containerPort": line.metrics.port}]
    assert line.metrics.host == "0.0.0.0"  # noqa: S104 (the kubelet asks from outside)
    paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert paths == {"startupProbe": "/readyz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    for path in (line.ledger.path, line.kept.folder, line.collected.folder, line.recipes.folder):
        assert any(str(path).startswith(mount) for mount in mounts), path


def test_kubernetes_example_has_no_privileges_and_time_to_drain() -> None:
    """Not root, nothing writable but the volumes, one worker at a time, and longer to end than a drain takes."""
    deployment = manifest("Deployment")["spec"]
    pod = deployment["template"]["spec"]
    for security in (container["securityContext"] for container in pod["containers"]):
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) in dict(stages()["cpu"])["USER"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN_LIMIT_S + STOP_LIMIT_S
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}  # never two workers on one camera


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """systemd itself finds nothing to object to."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    text = re.sub(
        r"/opt/cmfm/venv/bin/cmfm-worker", "/bin/true", (DEPLOY / "cmfm-worker.service").read_text()
    )
    path = tmp_path / "cmfm-worker.service"
    path.write_text(text.replace("User=cmfm", "User=root").replace("Group=cmfm", "Group=root"))
    checked = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False)
    assert "cmfm-worker.service:" not in checked.stderr, checked.stderr


def test_runbook_knows_every_fault_reason() -> None:
    """Whatever reason the night shift reads, the runbook has a line for it."""
    from cmfm_protocol.wire.verdict import FAULT_REASONS

    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    assert [str(reason) for reason in FAULT_REASONS if f"`{reason}`" not in runbook] == []


def test_readme_names_commands_that_exist() -> None:
    """Commands in the README are commands of the programs, and of each program."""
    text = (REPOSITORY / "README.md").read_text()
    apps = {
        "cmfm-worker": worker_app,
        "cmfm-sim": sim_app,
        "cmfm-gateway": gateway_app,
        "cmfm-camera": camera_app,
        "cmfm-hmi": page_app,
    }
    known = {program: set(getattr(get_command(app), "commands", {})) for program, app in apps.items()}
    used = re.findall(rf"`?({'|'.join(apps)}) ([a-z]+[a-z-]*)", text)
    assert {program for program, _ in used} >= {"cmfm-worker", "cmfm-sim", "cmfm-gateway"}
    assert [(program, word) for program, word in used if word not in known[program]] == []
