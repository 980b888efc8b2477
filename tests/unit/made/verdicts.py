"""Triggers, decisions, results and frames for tests of verdicts and records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cmfm_protocol.wire.frame import Frame, FrameHeader
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.messages import Decision, PartMaps, Trigger, TriggerKey
from cmfm_worker.line.records.recorder import Evidence

BASE_NS = 1_770_000_000_000_000_000
REASONS = {
    Verdict.PASS: Reason.BELOW_THRESHOLD,
    Verdict.FAIL: Reason.ABOVE_THRESHOLD,
    Verdict.UNDECIDED: Reason.LOW_COVERAGE,
    Verdict.FAULT: Reason.DEADLINE,
}
RESULT = Result(
    result_id=1,
    boot_id="b",
    stream_uuid="a",
    seq=0,
    part_id="p0",
    verdict=Verdict.PASS,
    reason=Reason.BELOW_THRESHOLD,
    detail="",
    score=0.5,
    threshold=1.0,
    recipe="r",
    model_sha="m",
    calib_id="",
    trigger_ns=BASE_NS,
    received_ns=BASE_NS + 1,
    done_ns=BASE_NS + 2,
    latency_us=1,
    deadline_met=True,
    simulated=True,
    queue_free=1,
    drops_total=0,
    coverage=1.0,
    peak_px=None,
    peak_xyz_m=None,
    regions=(),
    map_ref="",
)

PASS = Decision(Verdict.PASS, Reason.BELOW_THRESHOLD, score=0.5, threshold=1.0, model_sha="m")
FAIL = Decision(Verdict.FAIL, Reason.ABOVE_THRESHOLD, score=2.0, threshold=1.0, model_sha="m")
UNDECIDED = Decision(Verdict.UNDECIDED, Reason.LOW_COVERAGE, model_sha="m", coverage=0.1)


def trigger(seq: int, deadline_ns: int, **changes: Any) -> Trigger:
    """Trigger `seq` of the stream "cam", whose frame has arrived."""
    given: dict[str, Any] = {"received_ns": BASE_NS + 1, "calib_id": "", "simulated": True, "recipe": "bagel"}
    given |= {"key": TriggerKey("cam", seq), "part_id": f"p{seq}", "trigger_ns": BASE_NS}
    return Trigger(**{**given, "deadline_ns": deadline_ns, **changes})


def result(result_id: int, verdict: Verdict = Verdict.PASS, **changes: Any) -> Result:
    """Result number `result_id`, one second after the one before."""
    done_ns = BASE_NS + result_id * 10**9
    given: dict[str, Any] = {"verdict": verdict, "reason": REASONS[verdict], "done_ns": done_ns}
    given |= {"result_id": result_id, "seq": result_id - 1, "part_id": f"p{result_id - 1}"}
    return replace(RESULT, **(given | changes))


def frame(seed: int = 0, side_px: int = 40) -> Frame:
    """A frame of noise with one point that was not measured."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    xyz = rng.normal(0, 1, (side_px, side_px, 3)).astype(np.float32)
    xyz[3, 4] = np.nan
    return Frame(FrameHeader("a", seed, f"p{seed}", 0, 100.0, "r"), rgb, xyz)


def maps() -> PartMaps:
    """Maps that all differ."""
    plane = np.linspace(0, 1, 224 * 224, dtype=np.float32).reshape(224, 224)
    return PartMaps(plane, plane * 2, plane * 3, np.zeros((224, 224, 3), np.uint8), plane * 0, plane > 0.5)


def evidence(result_id: int, verdict: Verdict = Verdict.FAIL, **changes: Any) -> Evidence:
    """A result with its frame and maps."""
    return Evidence(result(result_id, verdict, **changes), frame(result_id), maps(), "c" * 64)
