"""Triggers, decisions, results and frames for tests of verdicts and records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from tests.made_results import PASS as GOOD_PART

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
RESULT = replace(GOOD_PART, part_id="p0", trigger_ns=BASE_NS, received_ns=BASE_NS + 1, done_ns=BASE_NS + 2)

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
