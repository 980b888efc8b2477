"""A line for `doctor` to look at, and what its findings say."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.unit.made.recipes import saved

from cmfm_worker.doctor.findings import Finding, Outcome
from cmfm_worker.doctor.visit import Options, Visit
from cmfm_worker.recipes.limits_section import LimitsSection
from cmfm_worker.settings.model import Settings

LIMITS = LimitsSection(edge_px=1, nominal_parts=5)


def settings(folder: Path, **sections: Any) -> Settings:
    """Settings of a line whose sockets and files are in `folder`; `sections` replace whole sections."""
    names = ("results", "maps", "recovery", "control")
    given: dict[str, Any] = {
        "sockets": {name: f"ipc://{folder}/{name}" for name in names}
        | {"frames": [f"ipc://{folder}/frames"]},
        "recipes": {"folder": folder / "recipes"},
        "ledger": {"path": folder / "ledger.sqlite"},
        "kept": {"folder": folder / "kept"},
        "collected": {"folder": folder / "collected"},
        "device": {"name": "cpu", "warmup_px": 64, "threads": 1},
    }
    return Settings.model_validate(given | sections)


def visit(folder: Path, **changes: Any) -> Visit:
    """A visit at a line without a worker; `changes` are further fields of `Visit`."""
    given: dict[str, Any] = {
        "config": folder / "line.toml",
        "settings": settings(folder),
        "options": Options(),
    }
    return Visit(**(given | changes))


def sound_recipe(folder: Path, name: str = "part", **changes: Any) -> None:
    """Write a recipe that has a threshold and limits."""
    given: dict[str, Any] = {"name": name, "limits": LIMITS}
    saved(folder / "recipes" / name, **(given | changes))


def said(found: Iterable[Finding], outcome: Outcome) -> str:
    """Return what the findings of an outcome saw and advise, a line each."""
    return "\n".join(f"{each.seen} -> {each.do}" for each in found if each.outcome is outcome)


def outcomes(found: Iterable[Finding]) -> list[Outcome]:
    """Return the outcomes in order."""
    return [each.outcome for each in found]


def eventually(seen: Callable[[], bool]) -> None:
    """Look again until it is seen: on a busy machine it may take longer than one look."""
    until_s = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < until_s
