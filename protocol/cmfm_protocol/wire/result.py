"""Results: one verdict for every trigger, from the worker to those who act on it (WIRE.md, result)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.encoding import MessageFrame, decode, encode, ours, theirs
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import Meaning, Since, Unit, nested
from cmfm_protocol.wire.verdict import REASONS_OF, Reason, Verdict
from cmfm_protocol.wire.wire_types import (
    WireType,
    flag,
    integer,
    items,
    member,
    number,
    one_of,
    optional,
    text,
    time_ns,
)

MODALITIES: Final = ("2d", "3d", "")
"""The map that a region stands out in; "" if neither does more than the other."""

_PIXEL: Final = integer(0, limits.MAP_SIDE_PX)
_ROW_COL: Final = items(_PIXEL, least=2, most=2)

ResultId = Annotated[int, integer(1)]
BootId = Annotated[str, text(empty=False)]
Score = Annotated[float | None, optional(number())]
WireVerdict = Annotated[Verdict, member(Verdict)]


@dataclass(frozen=True, slots=True)
class Region:
    """One defect, in pixels of the 224 x 224 map."""

    bbox: Annotated[
        tuple[int, int, int, int],
        items(_PIXEL, least=4, most=4),
        Unit("map pixels"),
        Meaning("row0, col0, row1, col1; row1 and col1 are the first outside"),
    ]
    area_px: Annotated[int, integer(0, limits.MAP_SIDE_PX**2), Unit("map pixels"), Meaning("its pixels")]
    area_mm2: Annotated[
        float | None,
        optional(number(0)),
        Unit("mm²"),
        Meaning("surface of the part in it, also where that is tilted; nil if no 3D was measured"),
    ]
    peak: Annotated[float, number(), Unit("same as the map"), Meaning("highest value")]
    peak_px: Annotated[
        tuple[int, int], _ROW_COL, Unit("map pixel (row, col)"), Meaning("place of the highest value")
    ]
    modality: Annotated[
        str,
        one_of(MODALITIES),
        Meaning(
            "which of Ψ_2D and Ψ_3D stands out more from its own median; empty if they do so within 10 %"
        ),
    ]


@dataclass(frozen=True, slots=True)
class Result:
    """The verdict on one trigger, and all that is needed to argue about it. Keys of 1.0 are always on the wire."""

    result_id: Annotated[
        ResultId,
        Meaning(
            "1, 2, 3 … without gaps, anew at each boot of the worker: a gap is a message that you missed"
        ),
    ]
    boot_id: Annotated[BootId, Meaning("the worker's boot; `(boot_id, result_id)` is unique for ever")]
    stream_uuid: Annotated[str, text(), Meaning("of the frame; `unattributed` if the stream is not known")]
    seq: Annotated[int, integer(), Meaning("of the frame (counted by the worker for `unattributed`)")]
    part_id: Annotated[str, text(), Meaning("of the frame; empty if it never arrived readable")]
    verdict: Annotated[WireVerdict, Meaning("[Verdicts](#verdicts)")]
    reason: Annotated[Reason, member(Reason, name="text"), Meaning("[Reasons](#reasons)")]
    detail: Annotated[
        str, text(), Meaning("one line for people; may change between releases, never to be parsed")
    ]
    score: Annotated[Score, Meaning("the recipe's score of the anomaly map; nil if nothing was computed")]
    threshold: Annotated[Score, Unit("same as `score`"), Meaning("FAIL at or above it")]
    recipe: Annotated[str, text(), Meaning("as in the header")]
    model_sha: Annotated[
        str, text(), Meaning("SHA-256 of the recipe's networks that decided; empty if none did")
    ]
    calib_id: Annotated[str, text(), Meaning("of the frame")]
    trigger_ns: Annotated[
        int, time_ns(), Unit("ns"), Meaning("trigger; for a part never seen, when that became known")
    ]
    received_ns: Annotated[
        int | None,
        optional(time_ns()),
        Unit("ns"),
        Meaning("last byte of the frame at the worker; nil if none arrived"),
    ]
    done_ns: Annotated[int, time_ns(), Unit("ns"), Meaning("verdict given")]
    latency_us: Annotated[
        int, integer(), Unit("µs"), Meaning("`done_ns` − `trigger_ns`, 0 if the clocks say less")
    ]
    deadline_met: Annotated[bool, flag(), Meaning("the verdict was given before the deadline")]
    simulated: Annotated[bool, flag(), Meaning("of the frame")]
    queue_free: Annotated[
        int,
        integer(),
        Unit("slots"),
        Meaning("free frame buffers of the worker at that moment: 0 means overload"),
    ]
    drops_total: Annotated[
        int, integer(), Unit("parts"), Meaning("FAULTs since the worker's boot, this one included")
    ]
    coverage: Annotated[
        float | None, optional(number(0)), Unit("1"), Meaning("share of the expected area with valid 3D")
    ]
    peak_px: Annotated[
        tuple[int, int] | None,
        optional(_ROW_COL),
        Unit("map pixel (row, col)"),
        Meaning("where the map is highest"),
    ]
    peak_xyz_m: Annotated[
        tuple[float, float, float] | None,
        optional(items(number(), least=3, most=3)),
        Unit("m"),
        Meaning("the same place in the camera's frame"),
    ]
    regions: Annotated[
        tuple[Region, ...],
        items(nested(Region), most=limits.MAX_REGIONS),
        Meaning("[Regions](#regions) of a FAIL or UNDECIDED, highest peak first; may be empty"),
    ]
    map_ref: Annotated[
        str,
        text(),
        Meaning("`<boot_id>/<result_id>` of the [map message](#map) that follows; empty if none does"),
    ]
    camera: Annotated[
        str,
        text(max_bytes=limits.MAX_NAME_CHARS),
        Since(2),
        Meaning("name of the camera in the worker's `line.toml`; empty if the stream has not been heard"),
    ] = ""


def encode_result(topic: bytes, result: Result) -> list[bytes]:
    """`[topic][map]`. `detail` is cut to one printable line (`fit_text`). Raises LocalProtocolError."""
    fitting = replace(result, detail=fit_text(result.detail))
    message = encode(topic, "result", fitting, max_bytes=limits.MAX_RESULT_BYTES)
    with ours():
        check_invariants(fitting)
    return message


def decode_result(message: Sequence[MessageFrame]) -> Result:
    """The result in `[topic][map]`. Raises RemoteProtocolError, also if it contradicts itself."""
    result = decode(message, Result, max_bytes=limits.MAX_RESULT_BYTES)
    with theirs():
        check_invariants(result)
    return result


def nested_result() -> WireType:
    """A result inside another message (a recovery page holds many)."""
    read_map = nested(Result)

    def check(value: object) -> Result:
        result: Result = read_map.check(value)
        check_invariants(result)
        return result

    return WireType(read_map.name, check)


def check_invariants(result: Result) -> None:
    """Raises Violation if a result contradicts itself, above all for a PASS that was not earned.

    PASS and FAIL need a score, a threshold, a frame that was received, a stream and a deadline that was met;
    PASS a score below the threshold, FAIL one at or above it. The reason belongs to the verdict.
    """
    if result.reason not in REASONS_OF[result.verdict]:
        raise Violation(Reason.MALFORMED, f"{result.reason} is not a reason for {result.verdict}", "reason")
    if result.verdict not in (Verdict.PASS, Verdict.FAIL):
        return
    for field in ("score", "threshold", "received_ns"):
        if getattr(result, field) is None:
            raise Violation(Reason.MALFORMED, f"{result.verdict} needs one", field)
    if not result.deadline_met:
        raise Violation(Reason.MALFORMED, f"{result.verdict} after the deadline", "deadline_met")
    if result.score is not None and result.threshold is not None:
        below = result.score < result.threshold
        if below is not (result.verdict is Verdict.PASS):
            raise Violation(Reason.MALFORMED, f"{result.verdict} contradicts score and threshold", "verdict")


def fit_text(value: str, max_bytes: int = limits.MAX_TEXT_BYTES) -> str:
    """Make any text fit the wire: spaces for characters that cannot be printed, cut to `max_bytes`."""
    printable = "".join(char if char.isprintable() else " " for char in value)
    return printable.encode()[:max_bytes].decode(errors="ignore")
