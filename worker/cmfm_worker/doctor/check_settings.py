"""Settings: device, keys and the programs beside the worker. The file itself has been read before."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cmfm_settings.load import WORKER_PREFIX
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.visit import OtherProgram, Visit
from cmfm_worker.errors import InputError
from cmfm_worker.line.compute.device import choose_device, choose_precision
from cmfm_worker.line.net.curve import read_keys
from cmfm_worker.settings.model import Settings

CHECK: Final = Check("settings")
MODULES: Final = {"cmfm-gateway": "cmfm_gateway.app", "cmfm-hmi": "cmfm_hmi.app"}
LIMIT_S: Final = 60.0
_SAME: Final = (
    ("line", ("line", "name")),
    ("station", ("line", "station")),
    ("results", ("sockets", "results")),
    ("recovery", ("sockets", "recovery")),
    ("control", ("sockets", "control")),
    ("maps", ("sockets", "maps")),
)
"""Keys of [worker] in the other programs' files, and where line.toml has the same."""

_SAME_FILES: Final = (
    ("ledger", ("ledger", "path")),
    ("kept", ("kept", "folder")),
    ("collected", ("collected", "folder")),
    ("recipes", ("recipes", "folder")),
)
"""Keys of [records] in the page's file, and where line.toml has the same file or folder."""

_SHARED_FILES: Final = ("takeover", "owner")
"""Keys of [gateway] in gateway.toml and of [access] in hmi.toml: files by which the two talk of who owns the line."""

RunChild = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def check_settings(visit: Visit, environment: Mapping[str, str] = os.environ) -> Findings:
    """Look at `line.toml` and at the settings of gateway and page, and whether they fit together."""
    problems = [*_device_problems(visit.settings), *_key_problems(visit.settings)]
    found = [CHECK.to_do(problem, f"correct {visit.config}") for problem in problems]
    if not found:
        found = [CHECK.good(f"{visit.config}: valid")]
    if visit.unit is not None:
        found.append(
            CHECK.note(f"the variables of the systemd unit {visit.unit.name} count, as for its worker")
        )
    else:
        found += _environment_findings(environment)
    for other in visit.others:
        found += program_findings(other, visit.settings)
    return [*found, *_between_programs(visit.others)]


def program_findings(other: OtherProgram, settings: Settings) -> Findings:
    """Look at the settings of gateway or page: their own problems, and what must be as in line.toml."""
    found = [
        CHECK.to_do(f"{other.program}: {problem}", f"correct {other.config}") for problem in other.problems
    ]
    line = settings.model_dump(mode="json")
    for table, keys in (("worker", _SAME), ("records", _SAME_FILES)):
        for key, (section, name) in keys:
            theirs, ours = other.values.get(table, {}).get(key), line[section][name]
            if theirs not in (None, "") and not _same(theirs, ours):
                found.append(
                    CHECK.to_do(
                        f"{other.program}: {table}.{key} = {theirs!r}, and line.toml has {section}.{name} = {ours!r}",
                        f"make both the same in {other.config}",
                    )
                )
    return found or [CHECK.good(f"{other.config}: valid, and fits line.toml")]


def _between_programs(others: Sequence[OtherProgram]) -> list[Finding]:
    """Look whether gateway and page name the same files, where one of them names one."""
    by_name = {other.program: other for other in others}
    if not {"cmfm-gateway", "cmfm-hmi"} <= by_name.keys():
        return []
    gateway, page = by_name["cmfm-gateway"], by_name["cmfm-hmi"]
    found = []
    for key in _SHARED_FILES:
        theirs = gateway.values.get("gateway", {}).get(key) or ""
        ours = page.values.get("access", {}).get(key) or ""
        if theirs != ours:
            found.append(
                CHECK.to_do(
                    f"{gateway.config} has gateway.{key} = {theirs!r}, and {page.config} access.{key} = {ours!r}",
                    "name the same file in both",
                )
            )
    return found


def read_other(program: str, config: Path, run: RunChild | None = None) -> OtherProgram:
    """Ask a program's own `check` for its settings. Raises InputError with what it says if it cannot read them."""
    command = [sys.executable, "-m", MODULES[program], "check", "--config", str(config), "--json"]
    ended = (run or _run)(command)
    try:
        report = json.loads(ended.stdout)
    except ValueError:
        raise InputError(f"{config}: {_last_line(ended.stderr) or f'{program} check said nothing'}") from None
    values: dict[str, dict[str, Any]] = {
        section: {key: explained["value"] for key, explained in keys.items()}
        for section, keys in report["settings"].items()
    }
    return OtherProgram(program, config, values, tuple(report.get("problems", ())))


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _same(theirs: str, ours: str | None) -> bool:
    """Compare names, paths, and endpoints by their port: a client names a host where the worker binds an address."""
    if ours is None:
        return False
    if ours.startswith("tcp://"):
        return theirs.rpartition(":")[2] == ours.rpartition(":")[2]
    return theirs == ours or ("/" in ours and Path(theirs).resolve() == Path(ours).resolve())


def _device_problems(settings: Settings) -> list[str]:
    try:
        choose_precision(settings.device.precision, choose_device(settings.device.name))
    except InputError as error:
        return [f"[device] {error}"]
    return []


def _key_problems(settings: Settings) -> list[str]:
    try:
        read_keys(settings.curve)
    except InputError as error:
        return [str(error)]
    return []


def _environment_findings(environment: Mapping[str, str]) -> list[Finding]:
    """Say which variables of this shell count: the worker may have others."""
    names = sorted(name for name in environment if name.startswith(WORKER_PREFIX) and "__" in name)
    return [CHECK.note(f"variables of this shell count: {', '.join(names)}")] if names else []
