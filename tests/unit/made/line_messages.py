"""Small messages of a line that tests of its clients and of the simulator start from."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmfm_client.events import Received
from cmfm_protocol.wire.frame import FrameHeader, encode_frame
from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.state import WorkerPhase, WorkerState
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.verdict import Reason, Verdict

FRAME_TOPIC = topic("line1", "station1", "frame")
FIRST_REASON = {
    Verdict.PASS: Reason.BELOW_THRESHOLD,
    Verdict.FAIL: Reason.ABOVE_THRESHOLD,
    Verdict.UNDECIDED: Reason.LOW_COVERAGE,
    Verdict.FAULT: Reason.LOST,
}
SCORES = {Verdict.PASS: 0.25, Verdict.FAIL: 0.75, Verdict.UNDECIDED: None, Verdict.FAULT: None}


def pictures(side: int = 6, value: int = 7) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    rgb = np.full((side, side, 3), value, dtype=np.uint8)
    xyz = np.arange(side * side * 3, dtype=np.float32).reshape(side, side, 3) / np.float32(1000)
    return rgb, xyz


def message(seq: int = 0, *, checksums: bool = True) -> list[bytes | memoryview]:
    header = FrameHeader("stream", seq, f"part-{seq}", 1_000, 1000.0, "bagel", simulated=True)
    return encode_frame(FRAME_TOPIC, header, *pictures(), checksums=checksums)


def result(seq: int, verdict: Verdict = Verdict.PASS, **changes: Any) -> Result:
    trigger_ns = 1_000_000_000 + seq * 100_000_000
    plain = Result(
        result_id=seq + 1,
        boot_id="boot",
        stream_uuid="stream",
        seq=seq,
        part_id=f"part-{seq}",
        verdict=verdict,
        reason=FIRST_REASON[verdict],
        detail="",
        score=SCORES[verdict],
        threshold=None if SCORES[verdict] is None else 0.5,
        recipe="bagel",
        model_sha="",
        calib_id="",
        trigger_ns=trigger_ns,
        received_ns=trigger_ns + 1_000_000,
        done_ns=trigger_ns + 20_000_000,
        latency_us=20_000,
        deadline_met=True,
        simulated=True,
        queue_free=4,
        drops_total=0,
        coverage=None,
        peak_px=None,
        peak_xyz_m=None,
        regions=(),
        map_ref="",
    )
    return replace(plain, **changes)


def received(
    seq: int, verdict: Verdict = Verdict.PASS, *, after_ms: float | None = 30, **changes: Any
) -> Received:
    made = result(seq, verdict, **changes)
    return Received(made, None if after_ms is None else made.trigger_ns + round(after_ms * 1e6))


def worker_state(
    counts: dict[Verdict, int], *, phase: WorkerPhase = "ready", boot_id: str = "boot"
) -> WorkerState:
    named = {str(verdict).lower(): counts.get(verdict, 0) for verdict in Verdict}
    return WorkerState(
        boot_id=boot_id,
        phase=phase,
        uptime_s=1.0,
        counts={"triggers": sum(named.values()), **named},
        faults_by_reason={},
        sources=(),
        queue_free=4,
        in_flight=0,
        recipes=("bagel",),
        device="cpu",
        sent_ns=1,
    )
