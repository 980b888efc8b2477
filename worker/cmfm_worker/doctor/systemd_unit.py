"""A systemd unit of the line: its variables, its user, its limits."""

import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cmfm_worker.errors import InputError

PROPERTIES: Final = ("LoadState", "ExecStart", "Environment", "User", "LimitNOFILE", "LimitMEMLOCK", "Nice")
USUAL: Final = "cmfm-worker"
"""Name of the worker's unit in deploy/; those of gateway and page are named after their programs too."""

LIMIT_S: Final = 10.0

RunText = Callable[[Sequence[str]], str | None]
"""Runs a command; returns what it prints, or None if it is not there or fails."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The limits that a unit gives its process. A limit of None is unlimited."""

    name: str
    command: str
    environment: Mapping[str, str]
    user: str
    open_files: int | None
    locked_memory: int | None
    nice: int


def run_text(command: Sequence[str]) -> str | None:
    """Run a program of this machine; return its output, or None if it is missing, fails or hangs."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return ended.stdout


def read_unit(name: str, run: RunText = run_text) -> Unit:
    """Read a unit. Raises InputError if systemd does not know it."""
    text = run(["systemctl", "show", name, *(f"--property={each}" for each in PROPERTIES)])
    if text is None:
        raise InputError(f"--unit {name}: systemd does not answer here; leave --unit out")
    values = dict(line.partition("=")[::2] for line in text.splitlines())
    if values.get("LoadState") != "loaded":
        raise InputError(
            f"--unit {name}: systemd knows no such unit ({values.get('LoadState') or 'no state'})"
        )
    return Unit(
        name,
        values.get("ExecStart", ""),
        dict(word.partition("=")[::2] for word in shlex.split(values.get("Environment", ""))),
        values.get("User", ""),
        _limit(values.get("LimitNOFILE", "")),
        _limit(values.get("LimitMEMLOCK", "")),
        int(values.get("Nice") or 0),
    )


def unit_of(config: Path, given: str, run: RunText = run_text, usual: str = USUAL) -> Unit | None:
    """Return the given unit, or without one the usual unit if it runs this file. Raises InputError for a given one."""
    if given:
        return read_unit(given, run)
    try:
        unit = read_unit(usual, run)
    except InputError:
        return None
    return unit if str(config.resolve()) in unit.command else None


def _limit(text: str) -> int | None:
    return int(text) if text.isdigit() and int(text) < 2**63 else None
