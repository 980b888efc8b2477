"""Plays a chaos plan in a folder of its own, and reports."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cmfm_sim.chaos.line import ChaosLine, LineOptions
from cmfm_sim.chaos.plan import ChaosPlan
from cmfm_sim.chaos.report import DEAD_PEER_MS, ChaosReport, report_of
from cmfm_sim.chaos.run import ChaosRun, Sample
from cmfm_sim.errors import InputError

MARKER: Final = ".cmfm-chaos"
"""File that marks a folder as a chaos run's own, which the next run may empty."""


def play(
    plan: ChaosPlan,
    options: LineOptions,
    folder: Path,
    *,
    stopped: Callable[[], bool] = lambda: False,
    on_step: Callable[[str], None] = lambda _: None,
    ends_with_camera: bool = False,
    dead_peer_ms: float = DEAD_PEER_MS,
    sample: Sample | None = None,
) -> ChaosReport:
    """Carry a plan out on a line of its own and check its files.

    Raises FailedError if the line does not start or a process ends by itself, InputError if `folder` holds files of
    another origin.
    """
    _make_own(folder)
    (folder / "plan.txt").write_text(f"{plan}\n", encoding="utf-8")
    with ChaosLine(folder, options) as line:
        try:
            run = ChaosRun(
                line, plan, stopped=stopped, on_step=on_step, ends_with_camera=ends_with_camera, sample=sample
            )
            return report_of(plan, line, run.run(), dead_peer_ms=dead_peer_ms)
        finally:
            for file in line.ledger.parent.glob(f"{line.ledger.name}*"):  # the disk goes with the line
                shutil.copy(file, folder)


def _make_own(folder: Path) -> None:
    if folder.exists():
        if not (folder / MARKER).is_file() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty and was not written by a chaos run; name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).write_text("written by cmfm-sim chaos, which may empty this folder\n", encoding="utf-8")
