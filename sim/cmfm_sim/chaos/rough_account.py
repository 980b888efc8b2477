"""The account of the scenes of a rough camera: each part has the one result that the scene expects. Pure.

The rules:

1. No number of a stream has two results, and no number that the camera neither used nor passed over has one.
2. Each part has one result under its part id, and it is the expected one. Load may make it a FAULT too.
3. Numbers that were passed over have a FAULT each, and no other verdict.
4. No part is answered more than a second after its deadline, however many FAULTs are given at the same time.
5. The worker has written the error line that the scene calls for.

A scene is judged if it was played to its end and the worker was left alone meanwhile; of the others rule 1 alone holds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from cmfm_client.errors import RecordError
from cmfm_client.json_lines import read_json_lines
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.chaos.scenes import Expect

LOAD: Final = frozenset({Reason.DEADLINE, Reason.RING_FULL})
"""Reasons of a FAULT that a busy machine explains."""

LATE_NS: Final = 10**9


class Row(NamedTuple):
    """A row of the ledger."""

    stream_uuid: str
    seq: int
    part_id: str
    verdict: str
    reason: str
    done_ns: int


@dataclass(slots=True)
class RoughScene:
    """A scene as it was played."""

    name: str
    stream_uuid: str
    from_ns: int
    until_ns: int = 0
    complete: bool = False
    parts: list[dict[str, Any]] = field(default_factory=list)
    passed_over: list[tuple[int, int]] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    @property
    def part_ids(self) -> set[str]:
        """The ids of its parts."""
        return {part["part_id"] for part in self.parts}


def read_scene(path: Path) -> RoughScene | None:
    """Read the log of a rough camera; None if it did not come to its scene. Raises RecordError."""
    found: RoughScene | None = None
    try:
        for _, line in read_json_lines(path):
            event = line.pop("event")
            if event == "scene":
                found = RoughScene(line["scene"], line["stream_uuid"], line["at_ns"])
            elif found is not None:
                found.until_ns = line["at_ns"]
                _add(found, event, line)
    except (KeyError, TypeError) as error:
        raise RecordError(f"{path}: not the log of a rough camera ({error!r})") from error
    return found


def _add(scene: RoughScene, event: str, line: dict[str, Any]) -> None:
    if event == "part":
        scene.parts.append(line)
    elif event == "passed_over":
        scene.passed_over.append((line["first"], line["until"]))
    elif event == "logged":
        scene.logged.append(line["name"])
    elif event == "end":
        scene.complete = True


def problems_of(
    scene: RoughScene, rows: Iterable[Row], worker_log: Sequence[str], *, judged: bool, all_passed_over: bool
) -> list[str]:
    """Return the faults in the results of a scene, one line each; empty for a right scene.

    `judged`: the worker was left alone during the scene. `all_passed_over`: and long enough after it to answer all.
    """
    numbers: Counter[int] = Counter()
    by_part: dict[str, list[Row]] = {}
    lost: Counter[int] = Counter()
    used, part_ids = {part["seq"] for part in scene.parts}, scene.part_ids
    found: dict[str, list[object]] = {}
    for row in rows:
        ours = row.part_id in part_ids
        if row.stream_uuid != scene.stream_uuid and not (row.stream_uuid == UNATTRIBUTED_STREAM and ours):
            continue
        if ours:
            by_part.setdefault(row.part_id, []).append(row)
        if row.stream_uuid == scene.stream_uuid:
            numbers[row.seq] += 1
            passed = any(first <= row.seq < until for first, until in scene.passed_over)
            if passed and row.seq not in used:
                lost[row.seq] += 1
                if row.verdict != Verdict.FAULT:
                    found.setdefault("verdicts other than FAULT on numbers passed over", []).append(row.seq)
            elif row.seq not in used:
                found.setdefault("results for numbers that were never used", []).append(row.seq)
    if twice := [seq for seq, count in numbers.items() if count > 1]:
        found["numbers with more than one result"] = list(twice)
    if judged:
        _judge(scene, by_part, found)
        if missing := [name for name in scene.logged if not _is_logged(scene, name, worker_log)]:
            found["error lines that the worker did not write"] = list(missing)
    if all_passed_over:
        wanted = sum(until - first for first, until in scene.passed_over) - sum(
            any(first <= seq < until for first, until in scene.passed_over) for seq in used
        )
        if len(lost) != wanted:
            found["FAULTs of numbers passed over, instead of " + str(wanted)] = [len(lost)]
    return [
        f"scene {scene.name} ({scene.stream_uuid[:8]}): {len(where)} {what}: {', '.join(map(str, where[:5]))}"
        for what, where in found.items()
    ]


def _judge(scene: RoughScene, by_part: Mapping[str, list[Row]], found: dict[str, list[object]]) -> None:
    for part in scene.parts:
        rows = by_part.get(part["part_id"], [])
        where = (part["seq"], *(f"{row.verdict} {row.reason}" for row in rows))
        if len(rows) != 1:
            what = "parts without a result" if not rows else "parts with more than one result"
            found.setdefault(what, []).append(where)
            continue
        if not _is_expected(part, rows[0]):
            found.setdefault(f"results other than {part['expect']}", []).append(where)
        if rows[0].done_ns > part["trigger_ns"] + part["deadline_ms"] * 1e6 + LATE_NS:
            found.setdefault("results more than a second late", []).append(where)


def _is_expected(part: Mapping[str, Any], row: Row) -> bool:
    is_fault = row.verdict == Verdict.FAULT
    if part["expect"] == Expect.FAULT:
        return is_fault and row.reason in part["reasons"]
    if part["expect"] == Expect.INSPECTED:
        return not is_fault or row.reason in LOAD
    return not is_fault or row.reason in part["reasons"] or row.reason in LOAD


def _is_logged(scene: RoughScene, name: str, worker_log: Sequence[str]) -> bool:
    return any(name in line and scene.stream_uuid in line for line in worker_log)
