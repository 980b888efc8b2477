"""The account of a rough camera's scenes: what is expected passes, and each thing that went wrong before is found."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cmfm_client.json_lines import open_json_lines, write_json_line
from cmfm_sim.chaos.rough_account import RoughScene, Row, problems_of, read_scene
from cmfm_sim.chaos.scenes import SCENES, Beat, Expect, Logged, Part, PassedOver, Restart, SendAgain, scene

UUID = "5ca1ab1e" * 4
DEADLINE_NS = 10**9
DONE = {Expect.INSPECTED: ("PASS", "below_threshold"), Expect.ONE: ("PASS", "below_threshold")}


def played(name: str, seed: int = 0) -> RoughScene:
    """A scene as the camera's log has it."""
    found = RoughScene(name, UUID, 0, 10**10, complete=True)
    for step in scene(name, seed):
        if isinstance(step, Part):
            found.parts.append(part(step, len(found.parts)))
        elif isinstance(step, PassedOver):
            found.passed_over.append((step.first, step.until))
        elif isinstance(step, Logged):
            found.logged.append(step.event)
    return found


def part(step: Part, number: int) -> dict[str, Any]:
    return {
        "seq": step.seq,
        "part_id": f"rough-{number}",
        "trigger_ns": number,
        "deadline_ms": 1000.0,
        "expect": str(step.expect),
        "reasons": list(step.reasons),
    }


def expected_rows(of: RoughScene) -> list[Row]:
    """The rows that a right worker's ledger has of it."""
    rows: list[Row] = []
    used: set[int] = set()
    for item in of.parts:
        wanted = Expect(item["expect"])
        verdict, reason = DONE.get(wanted, ("FAULT", (item["reasons"] or [""])[0]))
        again = item["seq"] in used
        uuid = "unattributed" if again else UUID
        used.add(item["seq"])
        rows.append(Row(uuid, len(rows) if again else item["seq"], item["part_id"], verdict, reason, 1000))
    passed = [seq for first, until in of.passed_over for seq in range(first, until) if seq not in used]
    return [*rows, *(Row(UUID, seq, "", "FAULT", "lost", 1000) for seq in passed)]


def problems(of: RoughScene, rows: Sequence[Row], log: Sequence[str] | None = None, **judged: bool) -> str:
    lines = [f"{name} stream_uuid={UUID}" for name in of.logged] if log is None else log
    found = problems_of(of, rows, lines, **({"judged": True, "all_passed_over": True} | judged))
    return "\n".join(found)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("seed", range(4))
def test_right_results_are_no_problem(name: str, seed: int) -> None:
    """Every scene has expectations that a right worker can meet."""
    of = played(name, seed)
    assert problems(of, expected_rows(of)) == ""


@pytest.mark.parametrize("name", SCENES)
def test_seed_says_all(name: str) -> None:
    """The same seed gives the same scene; a scene begins and ends with good parts, or with what it tests."""
    assert scene(name, 3) == scene(name, 3)
    assert isinstance(scene(name, 3)[0], Part)
    assert sum(isinstance(step, Part) for step in scene(name, 3)) >= 8


MUTANTS = [
    ("repeat", lambda rows: [row._replace(verdict="PASS", reason="") for row in rows], "other than fault"),
    ("changed", lambda rows: [*rows, rows[0]._replace(verdict="FAULT", part_id="")], "more than one result"),
    ("reboot", lambda rows: [row for row in rows if row.stream_uuid == UUID], "parts without a result"),
    ("reboot", lambda rows: [row._replace(stream_uuid=UUID, seq=n) for n, row in enumerate(rows)], "never used"),
    ("twin", lambda rows: [row for row in rows if row.verdict != "FAULT"], "parts without a result"),
    ("old", lambda rows: [*rows, Row(UUID, 5000, "", "FAULT", "lost", 0)], "never used"),
    ("wrap", lambda rows: [row._replace(stream_uuid=UUID, seq=row.seq % 6) for row in rows], "more than one result"),
    ("ahead", lambda rows: [*rows, *(Row(UUID, n, "", "FAULT", "lost", 0) for n in range(100, 400))], "never used"),
    ("ahead", lambda rows: [row._replace(verdict="FAULT", reason="lost") for row in rows], "other than inspected"),
    ("wild", lambda rows: [row._replace(verdict="PASS", reason="") for row in rows], "other than fault"),
    ("wild", lambda rows: [*rows, *(Row(UUID, n, "", "FAULT", "lost", 0) for n in range(50, 90))], "never used"),
    ("beat", lambda rows: [*rows, *(Row(UUID, n, "", "FAULT", "lost", 0) for n in range(20, 900))], "never used"),
    ("jump", lambda rows: rows[:-1], "FAULTs of numbers passed over"),
    ("jump", lambda rows: [row._replace(done_ns=3 * DEADLINE_NS) for row in rows], "more than a second late"),
    ("jump", lambda rows: [row._replace(part_id="") for row in rows], "parts without a result"),
    ("jump", lambda rows: [row._replace(verdict="PASS") if not row.part_id else row for row in rows], "passed over"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "words"), MUTANTS)
def test_wrong_results_are_named(name: str, change: Any, words: str) -> None:
    """Each as a worker gave them before its rule was there."""
    of = played(name)
    assert words in problems(of, change(expected_rows(of)))


@pytest.mark.parametrize("name", ["changed", "reboot", "twin", "wrap"])
def test_silence_of_the_log_is_named(name: str) -> None:
    """The error line is part of what is promised; one about another stream is not it."""
    of = played(name)
    assert "error lines that the worker did not write" in problems(of, expected_rows(of), log=[])
    other = [f"{event} stream_uuid=other" for event in of.logged]
    assert "error lines" in problems(of, expected_rows(of), log=other)


def test_scene_that_was_disturbed_is_judged_by_its_numbers_alone() -> None:
    """A killed worker may lack results; it never gives two to a number."""
    of = played("jump")
    rows = expected_rows(of)[:7]
    assert problems(of, rows, judged=False, all_passed_over=False) == ""
    assert "more than one" in problems(of, [*rows, rows[0]], judged=False, all_passed_over=False)


def test_load_explains_a_late_fault_and_no_other() -> None:
    """A busy machine may make an expected verdict a FAULT `deadline`."""
    of = played("beat")
    rows = expected_rows(of)
    busy = [rows[0]._replace(verdict="FAULT", reason="deadline"), *rows[1:]]
    assert problems(of, busy) == ""


def test_log_of_a_camera_is_read(tmp_path: Path) -> None:
    """Written line by line, also if the camera was ended in the middle."""
    path = tmp_path / "log.jsonl"
    with open_json_lines(path) as log:
        for event in (
            {"event": "scene", "scene": "jump", "stream_uuid": UUID},
            {"event": "part", **part(Part(3, 0), 0)},
            {"event": "passed_over", "first": 4, "until": 9, "surely": True},
            {"event": "logged", "name": "seq_wrapped"},
        ):
            write_json_line(log, {"at_ns": 5, **event})
    found = read_scene(path)
    assert found is not None
    assert (found.name, found.complete, found.passed_over, found.logged) == (
        "jump",
        False,
        [(4, 9)],
        ["seq_wrapped"],
    )
    assert found.part_ids == {"rough-0"}
    assert replace(found, complete=True).complete


def test_scenes_use_every_kind_of_step() -> None:
    """A step that no scene has would not be played."""
    steps = {type(step) for name in SCENES for seed in range(4) for step in scene(name, seed)}
    assert steps == {Part, SendAgain, Beat, Restart, PassedOver, Logged}
