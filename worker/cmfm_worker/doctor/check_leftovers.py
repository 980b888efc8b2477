"""Leftovers of killed processes: unfinished folders, sockets that nobody serves, commands that nobody waits for."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from cmfm_records.collected import TAKING
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.processes import Process, processes
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.line.net.sockets import is_served
from cmfm_worker.line.records.archive_folder import PARTIAL
from cmfm_worker.settings.model import Settings
from cmfm_worker.settings.sections.network import BOUND_SOCKETS

CHECK: Final = Check("leftovers")
OLD_S: Final = 600.0
"""Younger ones may belong to a process that is at work."""

SHOWN: Final = 3
COMMANDS: Final = frozenset(
    {"fit", "teach", "collect", "calibrate", "evaluate", "prepare", "bench", "replay-part"}
)
INIT: Final = 1


def check_leftovers(visit: Visit) -> Findings:
    """Look for what killed processes have left."""
    found = folder_findings(unfinished(visit.settings, time.time()))
    found += orphan_findings(processes())
    if visit.worker is None:
        found += socket_findings(visit.settings)
    return found or [CHECK.good("none")]


def unfinished(settings: Settings, now_s: float) -> list[Path]:
    """Return folders that were being written when their process was killed, and that nobody has touched since."""
    return sorted(path for path in _unfinished(settings) if _is_old(path, now_s))


def _unfinished(settings: Settings) -> Iterator[Path]:
    yield from settings.kept.folder.glob(f"{PARTIAL}*")
    for recipe in settings.recipes.folder.glob(
        ".*.*"
    ):  # `folder.py` writes beside its target: .NAME.xxxxxxxx
        if recipe.is_dir() and not recipe.name.startswith(".versions"):
            yield recipe
    for prefix in (TAKING, PARTIAL):
        yield from settings.collected.folder.glob(f"*/parts/{prefix}*")


def _is_old(path: Path, now_s: float) -> bool:
    try:
        return now_s - path.stat().st_mtime > OLD_S
    except FileNotFoundError:
        return False


def folder_findings(folders: Sequence[Path]) -> list[Finding]:
    """Name unfinished folders."""
    if not folders:
        return []
    shown = ", ".join(str(folder) for folder in folders[:SHOWN]) + (", …" if len(folders) > SHOWN else "")
    return [
        CHECK.to_do(
            f"{len(folders)} unfinished folders of killed processes: {shown}",
            "delete them; those in the kept folder go at the worker's next start",
        )
    ]


def orphan_findings(running: Sequence[Process]) -> list[Finding]:
    """Name commands of ours whose parent has gone: they take processor time from the line."""
    return [
        CHECK.to_do(
            f"cmfm-worker {' '.join(COMMANDS & set(process.command))} (pid {process.pid}) runs on without its caller",
            f"let it end, or kill {process.pid}",
        )
        for process in running
        if process.parent == INIT and process.program == "cmfm-worker" and COMMANDS & set(process.command)
    ]


def socket_findings(settings: Settings) -> list[Finding]:
    """Name ipc sockets that nobody serves. They do no harm: the next start takes them over."""
    left = []
    for key in BOUND_SOCKETS:
        endpoint: str = getattr(settings.sockets, key)
        path = Path(endpoint.removeprefix("ipc://"))
        if endpoint.startswith("ipc:///") and path.is_socket() and not is_served(endpoint):
            left.append(str(path))
    if not left:
        return []
    return [
        CHECK.note(f"sockets of a worker that was killed: {', '.join(left)}; the next start takes them over")
    ]
