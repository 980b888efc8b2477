"""Judges what rough cameras and damaged connections did to a run, from its files and its acts."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from cmfm_sim.chaos.peers import Event
from cmfm_sim.chaos.plan import DAMAGES, ActKind
from cmfm_sim.chaos.rough_account import RoughScene, Row, problems_of, read_scene
from cmfm_sim.chaos.run import Course, Done
from cmfm_sim.errors import InputError

MARGIN_NS: Final = 2 * 10**9
BULK_NS: Final = 60 * 10**9
"""Time in which the FAULTs of a long jump are out, also on a busy machine."""

HARMLESS: Final = ("rough", "second", "full")
"""Verbs that disturb no connection of the camera."""

HEALED_NS: Final = 15 * 10**9
"""Time after which a damaged connection must be made again: libzmq and the worker wait up to 2 s between attempts."""

ROWS: Final = "SELECT stream_uuid, seq, part_id, verdict, reason, done_ns FROM triggers"


def scenes_of(course: Course) -> list[RoughScene]:
    """The scenes that were played. Raises RecordError."""
    found = (read_scene(path) for path in course.rough_logs if path.is_file())
    return [scene for scene in found if scene is not None]


def scene_problems(
    course: Course, scenes: Sequence[RoughScene], ledger: Path, worker_logs: Iterable[Path], until_ns: int
) -> tuple[list[str], int]:
    """The problems of all scenes, and how many scenes were judged by all rules. Raises InputError.

    `until_ns`: when the worker was told to end.
    """
    rows = _rows(ledger)
    log = [line for path in worker_logs for line in path.read_text(errors="replace").splitlines()]
    problems, judged = [], 0
    for scene in scenes:
        alone = scene.complete and _is_alone(course.done, scene.from_ns, scene.until_ns)
        long_alone = alone and _is_alone(course.done, scene.from_ns, min(scene.until_ns + BULK_NS, until_ns))
        problems += problems_of(scene, rows, log, judged=alone, all_passed_over=long_alone)
        judged += alone
    return problems, judged


def not_healed(done: Sequence[Done], heard: Sequence[Event], endpoint: str) -> list[str]:
    """Damages after which the worker did not report the camera as alive again, though nothing else was disturbed."""
    return [
        f"{act.kind}: the camera was not connected again within {HEALED_NS / 1e9:g} s"
        for act in _undisturbed_damages(done)
        if _alive_at(heard, endpoint, act.until_ns + HEALED_NS) is False
    ]


def healing_ms(done: Sequence[Done], heard: Sequence[Event], endpoint: str) -> list[float]:
    """Milliseconds from each damage that ended the connection until the camera was reported as alive again."""
    found = []
    for act in _undisturbed_damages(done):
        states = [
            (event["at_ns"], event["alive"].get(endpoint))
            for event in heard
            if event["event"] == "state" and act.at_ns < event["at_ns"] < act.until_ns + HEALED_NS
        ]
        down = next((at_ns for at_ns, alive in states if not alive), None)
        back = next((at_ns for at_ns, alive in states if alive and down is not None and at_ns > down), None)
        if back is not None:
            found.append((back - act.until_ns) / 1e6)
    return found


def _undisturbed_damages(done: Sequence[Done]) -> Iterator[Done]:
    """Damages of framing beside which nothing else was done to camera, worker, subscriber or their connections."""
    for act in (act for act in done if act.kind.verb in DAMAGES):
        by_ns = act.until_ns + HEALED_NS
        others = (other for other in done if other is not act and other.kind.verb not in HARMLESS)
        if not any(other.at_ns < by_ns and other.until_ns > act.at_ns - MARGIN_NS for other in others):
            yield act


def _alive_at(heard: Sequence[Event], endpoint: str, at_ns: int) -> bool | None:
    """The newest report on a camera at a time; None if nothing was heard later, because the run had ended."""
    if not heard or heard[-1]["at_ns"] < at_ns:
        return None
    says = [
        event["alive"].get(endpoint)
        for event in heard
        if event["event"] == "state" and event["at_ns"] <= at_ns
    ]
    return bool(says[-1]) if says else None


def _is_alone(done: Sequence[Done], from_ns: int, until_ns: int) -> bool:
    """True if nothing was done to the worker in a time."""
    to_worker = (ActKind.KILL_WORKER, ActKind.STOP_WORKER)
    return not any(
        act.kind in to_worker and act.at_ns < until_ns + MARGIN_NS and act.until_ns > from_ns - MARGIN_NS
        for act in done
    )


def _rows(ledger: Path) -> list[Row]:
    try:
        connection = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
        rows = [Row(*row) for row in connection.execute(ROWS)]
        connection.close()
    except sqlite3.Error as error:
        raise InputError(f"ledger {ledger} cannot be read: {error}") from error
    return rows
