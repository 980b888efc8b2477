"""A result on a good part, for tests that judge or forward results."""

from cmfm_protocol.wire.result import Result
from cmfm_protocol.wire.verdict import Reason, Verdict

PASS = Result(
    result_id=1,
    boot_id="b",
    stream_uuid="a",
    seq=0,
    part_id="part0",
    verdict=Verdict.PASS,
    reason=Reason.BELOW_THRESHOLD,
    detail="",
    score=0.5,
    threshold=1.0,
    recipe="r",
    model_sha="m",
    calib_id="",
    trigger_ns=1,
    received_ns=2,
    done_ns=3,
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
