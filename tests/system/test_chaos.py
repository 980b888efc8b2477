"""Chaos on a short line: real processes killed and stopped, connections cut, the disk full, frames damaged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cmfm_sim.chaos.line import LineSettings
from cmfm_sim.chaos.plan import Act, ActKind, ChaosPlan
from cmfm_sim.chaos.play import play
from cmfm_sim.chaos.report import report_map

from .tiny_parts import stub_line, write_tiny_parts

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

DEAD_PEER_MS = 3000.0
"""The promise is 1 s on a machine that does nothing else; tests share theirs."""

PROCESSES = (
    Act(0.5, ActKind.STOP_CAMERA, 1.5),
    Act(2.6, ActKind.KILL_WORKER, 0.3),
    Act(4.8, ActKind.KILL_SUBSCRIBER, 0.3),
    Act(5.5, ActKind.KILL_CAMERA, 0.3),
)
CONNECTIONS_AND_DISK = (
    Act(0.3, ActKind.CUT_FRAMES, 0.0),
    Act(0.6, ActKind.FULL_DISK, 2.0),
    Act(1.2, ActKind.CUT_RESULTS, 0.0),
    Act(1.5, ActKind.STOP_WORKER, 1.6),
    Act(2.0, ActKind.KILL_WORKER, 0.3),
    Act(4.0, ActKind.SLOW_FRAMES, 1.0),
    Act(4.2, ActKind.STOP_SUBSCRIBER, 1.5),
)


SECOND_AND_ROUGH = (
    Act(0.3, ActKind.SECOND_WORKER, 2.0),
    Act(3.0, ActKind.ROUGH_CHANGED, 3.0),
    Act(6.5, ActKind.ROUGH_TWIN, 3.0),
    Act(10.0, ActKind.ROUGH_JUMP, 3.0),
)
FRAMING = (
    Act(0.3, ActKind.FLAG_FRAMES, 0.0),
    Act(3.0, ActKind.OVERSIZE_FRAMES, 0.0),
    Act(6.0, ActKind.GREETING_FRAMES, 0.0),
    Act(9.0, ActKind.FOREIGN_FRAMES, 0.5),
)


def line_settings(recipes: Path) -> LineSettings:
    """A small line on one thread."""
    return {
        "recipes": {"folder": str(recipes), "default": "praline"},
        "device": {"threads": 1, "warmup_px": 160},
    }


@pytest.mark.parametrize(
    ("seed", "acts"), [(1, PROCESSES), (2, CONNECTIONS_AND_DISK)], ids=["processes", "connections-and-disk"]
)
def test_account_holds_whatever_happens_to_the_line(
    tmp_path: Path, recipes: Path, seed: int, acts: tuple[Act, ...]
) -> None:
    """Each trigger has one verdict, no part that cannot have been inspected a PASS, and dead peers are reported."""
    options = stub_line(
        write_tiny_parts(tmp_path / "tiny"), line_settings(recipes), rate_hz=60, limit=100_000
    )
    report = play(ChaosPlan(seed, 6.0, acts), options, tmp_path / "run", dead_peer_ms=DEAD_PEER_MS)
    figures = report_map(report)
    assert report.problems == (), json.dumps(figures, indent=1)
    assert figures["worker_boots"] == 2
    assert figures["triggers"] > 200
    assert figures["verdicts"]["PASS"] > 50
    assert figures["verdicts"]["FAULT"] > 10
    assert len(report.deaths) == (2 if acts is PROCESSES else 0)  # the others had no undisturbed witness


@pytest.mark.parametrize(
    ("seed", "acts"), [(3, SECOND_AND_ROUGH), (4, FRAMING)], ids=["second-and-rough", "framing"]
)
def test_foreign_cameras_and_workers_cost_the_line_nothing(
    tmp_path: Path, recipes: Path, seed: int, acts: tuple[Act, ...]
) -> None:
    """A second worker ends with 3, each scene has its results, a damaged connection is made again, the rest goes on."""
    options = stub_line(
        write_tiny_parts(tmp_path / "tiny"), line_settings(recipes), rate_hz=30, limit=100_000
    )
    plan = ChaosPlan(seed, acts[-1].at_s + 4.0, acts, frame_faults="")
    report = play(plan, replace(options, rough=True), tmp_path / "run", dead_peer_ms=DEAD_PEER_MS)
    figures = report_map(report)
    assert report.problems == (), json.dumps(figures, indent=1)
    assert figures["worker_boots"] == 1
    assert len(report.course.done) == len(acts)
    if acts is SECOND_AND_ROUGH:
        assert figures["scenes"] == {"changed": 1, "jump": 1, "twin": 1}
        assert figures["scenes_judged"] == 3
        assert figures["verdicts"]["FAULT"] == 0
        assert figures["rough_results"] > 20_000
    else:
        assert figures["verdicts"]["FAULT"] > 0  # the parts of the connections that broke
