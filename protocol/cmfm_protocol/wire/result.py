"""Results: one verdict for every trigger, from the worker to whoever acts on it (WIRE.md, result)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.checks import flag, integer, items, member, number, one_of, optional, text, time_ns
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.record import Part, Table, decode, encode, nested, ours, read, theirs
from cmfm_protocol.wire.verdict import REASONS_OF, Reason, Verdict

MODALITIES: Final = ("2d", "3d", "")
"""Which map a region stands out in; "" where neither does more than the other."""


@dataclass(frozen=True, slots=True)
class Region:
    """One defect, in pixels of the 224 x 224 map.

    `bbox` (row0, col0, row1, col1), half open; `area_px` pixels; `area_mm2` on the part, None where it is not
    known; `peak` the highest Ψ in it, at `peak_px` (row, col); `modality` "2d", "3d" or "".
    """

    bbox: tuple[int, int, int, int]
    area_px: int
    area_mm2: float | None
    peak: float
    peak_px: tuple[int, int]
    modality: str


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one trigger, and all that is needed to argue about it (WIRE.md, result, field by field).

    Times `*_ns` are CLOCK_REALTIME. `received_ns` is None where nothing of the frame arrived. `peak_px` (row,
    col) in pixels of the map, `peak_xyz_m` (x, y, z) metres in the camera's frame. `map_ref` is "" when no
    map is sent.
    """

    result_id: int
    boot_id: str
    stream_uuid: str
    seq: int
    part_id: str
    verdict: Verdict
    reason: Reason
    detail: str
    score: float | None
    threshold: float | None
    recipe: str
    model_sha: str
    calib_id: str
    trigger_ns: int
    received_ns: int | None
    done_ns: int
    latency_us: int
    deadline_met: bool
    simulated: bool
    queue_free: int
    drops_total: int
    coverage: float | None
    peak_px: tuple[int, int] | None
    peak_xyz_m: tuple[float, float, float] | None
    regions: tuple[Region, ...]
    map_ref: str


_PIXEL: Final = integer(0, limits.MAP_SIDE_PX)
_ROW_COL: Final = items(_PIXEL, least=2, most=2)

REGION_TABLE: Final[Table] = {
    "bbox": items(_PIXEL, least=4, most=4),
    "area_px": integer(0, limits.MAP_SIDE_PX**2),
    "area_mm2": optional(number(0)),
    "peak": number(),
    "peak_px": _ROW_COL,
    "modality": one_of(MODALITIES),
}
RESULT_TABLE: Final[Table] = {
    "result_id": integer(1),
    "boot_id": text(empty=False),
    "stream_uuid": text(),
    "seq": integer(),
    "part_id": text(),
    "verdict": member(Verdict),
    "reason": member(Reason),
    "detail": text(),
    "score": optional(number()),
    "threshold": optional(number()),
    "recipe": text(),
    "model_sha": text(),
    "calib_id": text(),
    "trigger_ns": time_ns(),
    "received_ns": optional(time_ns()),
    "done_ns": time_ns(),
    "latency_us": integer(),
    "deadline_met": flag,
    "simulated": flag,
    "queue_free": integer(),
    "drops_total": integer(),
    "coverage": optional(number(0)),
    "peak_px": optional(_ROW_COL),
    "peak_xyz_m": optional(items(number(), least=3, most=3)),
    "regions": items(nested(Region, REGION_TABLE), most=limits.MAX_REGIONS),
    "map_ref": text(),
}


def encode_result(topic: bytes, result: Result) -> list[bytes]:
    """`[topic][map]`. `detail` is cut to one printable line (`fit_text`). Raises LocalProtocolError."""
    fitting = replace(result, detail=fit_text(result.detail))
    parts = encode(topic, "result", fitting, RESULT_TABLE, max_bytes=limits.MAX_RESULT_BYTES)
    with ours():
        check_invariants(fitting)
    return parts


def decode_result(parts: Sequence[Part]) -> Result:
    """The result in `[topic][map]`. Raises RemoteProtocolError, also for one that contradicts itself."""
    result = decode(parts, Result, RESULT_TABLE, max_bytes=limits.MAX_RESULT_BYTES)
    with theirs():
        check_invariants(result)
    return result


def read_result(value: object) -> Result:
    """A result from its map (a recovery reply holds many). Raises Violation."""
    if not isinstance(value, dict):
        raise Violation(Reason.MALFORMED, f"expected a map, got {type(value).__name__}")
    result = read(Result, RESULT_TABLE, value)
    check_invariants(result)
    return result


def check_invariants(result: Result) -> None:
    """Raises Violation where a result contradicts itself; above all, where a PASS was not earned.

    PASS and FAIL need a score, a threshold, a frame that was received, a stream and a deadline that was met;
    PASS a score below the threshold, FAIL one at or above it. The reason belongs to the verdict.
    """
    if result.reason not in REASONS_OF[result.verdict]:
        raise Violation(Reason.MALFORMED, f"{result.reason} is no reason for {result.verdict}", "reason")
    if result.verdict not in (Verdict.PASS, Verdict.FAIL):
        return
    for field in ("score", "threshold", "received_ns"):
        if getattr(result, field) is None:
            raise Violation(Reason.MALFORMED, f"{result.verdict} without one", field)
    if not result.deadline_met:
        raise Violation(Reason.MALFORMED, f"{result.verdict} after the deadline", "deadline_met")
    if result.score is not None and result.threshold is not None:
        below = result.score < result.threshold
        if below is not (result.verdict is Verdict.PASS):
            raise Violation(Reason.MALFORMED, f"{result.verdict} contradicts score and threshold", "verdict")


def fit_text(value: str, max_bytes: int = limits.MAX_TEXT_BYTES) -> str:
    """Any text as the wire takes it: what cannot be printed becomes a space, what is too long is cut."""
    printable = "".join(char if char.isprintable() else " " for char in value)
    return printable.encode()[:max_bytes].decode(errors="ignore")
