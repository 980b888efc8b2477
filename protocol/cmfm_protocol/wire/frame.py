"""Frames: one part's registered colour and points, from the camera to the worker (WIRE.md, frame)."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.arrays import SPECS, ArrayRule, ArraySpec, Checksum, check_specs, describe, view
from cmfm_protocol.wire.encoding import (
    MessageFrame,
    byte_views,
    ours,
    pack,
    require_version,
    salvage,
    theirs,
    unpack,
)
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import Meaning, Required, Since, Unit, field_of, fields_of, plain_map, read
from cmfm_protocol.wire.topics import require_kind
from cmfm_protocol.wire.verdict import Reason
from cmfm_protocol.wire.wire_types import (
    WireType,
    broken,
    check_at,
    flag,
    integer,
    number,
    one_of,
    optional,
    text,
    time_ns,
)

CLOCKS: Final = ("realtime", "monotonic", "none")
"""The clocks of `trigger_ns`: CLOCK_REALTIME, the worker's own CLOCK_MONOTONIC, or nothing comparable."""

UNATTRIBUTED_STREAM: Final = "unattributed"
"""Stream under which the worker answers messages that belong to no stream; no camera may use it."""

SEAL_BYTES: Final = 4

_NOT_EMPTY: Final = text(empty=False)


def _check_stream_uuid(value: object) -> str:
    stream_uuid: str = _NOT_EMPTY.check(value)
    if stream_uuid == UNATTRIBUTED_STREAM:
        raise broken(f"{UNATTRIBUTED_STREAM!r} is the worker's own")
    return stream_uuid


STREAM_UUID: Final = WireType(_NOT_EMPTY.name, _check_stream_uuid)

Sealed = Annotated[bool, flag(), Meaning("true: a [seal](#integrity) follows, refuse the message without it")]
"""Key of a header, and field of a trigger message, that makes the absence of the seal an error."""

SEALED: Final = field_of("sealed", Sealed, default=False)


@dataclass(frozen=True, slots=True)
class TriggerFields:
    """The fields that a frame header and a trigger message share: which part, until when, by which recipe."""

    stream_uuid: Annotated[
        str, STREAM_UUID, Meaning("the camera's stream, new at each of its boots; `unattributed` is taken")
    ]
    seq: Annotated[
        int,
        integer(),
        Meaning("0 for the first trigger of a stream, then +1 for each ([Sequence](#sequence))"),
    ]
    part_id: Annotated[str, text(), Meaning("the part, as your line calls it; may be empty")]
    trigger_ns: Annotated[
        int, time_ns(), Unit("ns"), Meaning("when the photo-eye fired, in the clock named by `clock`")
    ]
    deadline_ms: Annotated[
        float,
        number(0, limits.MAX_DEADLINE_MS),
        Unit("ms"),
        Meaning("from the trigger to the verdict on the wire"),
    ]
    recipe: Annotated[str, text(), Meaning("the recipe to inspect by; empty asks for the line's default")]
    clock: Annotated[str, one_of(CLOCKS), Meaning("[Clocks](#clocks)")] = "realtime"
    encoder: Annotated[
        int | None,
        optional(integer(-limits.MAX_COUNT)),
        Unit("counts"),
        Meaning("position of the conveyor at the trigger"),
    ] = None
    calib_id: Annotated[str, text(), Meaning("calibration that `xyz` was computed with")] = ""
    simulated: Annotated[
        bool, flag(), Meaning("true for parts that do not exist; copied into the result")
    ] = False


@dataclass(frozen=True, slots=True)
class FrameHeader(TriggerFields):
    """Which part a frame shows, when it was triggered, until when it needs a verdict, and by which recipe.

    `encode_frame` fills in `arrays`.
    """

    pub_drops: Annotated[
        int, integer(), Unit("frames"), Meaning("frames that the camera could not send since its boot")
    ] = 0
    exposure_us: Annotated[
        float | None,
        optional(number(0)),
        Since(3),
        Unit("µs"),
        Meaning("exposure time of the picture, or of the points' longest"),
    ] = None
    gain: Annotated[
        float | None,
        optional(number()),
        Since(3),
        Meaning("gain of the picture, in the device's own unit"),
    ] = None
    temperature_c: Annotated[
        float | None,
        optional(number()),
        Since(3),
        Unit("°C"),
        Meaning("temperature of the device"),
    ] = None
    arrays: Annotated[
        tuple[ArraySpec, ...],
        SPECS,
        Required(Reason.ARRAY_MISMATCH),
        Meaning("[Array description](#array-description) of `rgb`, then of `xyz`"),
    ] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """A decoded frame; both arrays are read-only views of the message.

    `rgb` (H, W, 3) uint8 sRGB; `xyz` (H, W, 3) float32 metres. A point is invalid if a coordinate is not finite or
    all three are 0. `sealed`: header and both arrays carried checksums, and they were right.
    """

    header: FrameHeader
    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    sealed: bool = False


ATTRIBUTION: Final = ("stream_uuid", "seq", "part_id", "trigger_ns", "deadline_ms", "clock", "recipe")
"""Fields of a header that say which part a damaged message is about."""

_ATTRIBUTION_CHECKS: Final = {
    field.name: field.wire_type.check for field in fields_of(FrameHeader) if field.name in ATTRIBUTION
}

ARRAY_RULES: Final = (
    ArrayRule("rgb", ("|u1",), (None, None, 3), "sRGB"),
    ArrayRule("xyz", ("<f4",), (None, None, 3), "m", "nan|0,0,0"),
)


def encode_frame(
    topic: bytes,
    header: FrameHeader,
    rgb: NDArray[np.uint8],
    xyz: NDArray[np.float32],
    *,
    checksums: bool = True,
    crc32: Checksum = zlib.crc32,
) -> list[bytes | memoryview]:
    """`[topic][header][rgb][xyz]` and, with `checksums`, `[seal]`.

    `rgb` (H, W, 3) uint8, `xyz` (H, W, 3) float32 metres. The message frames are views of both arrays unless these
    have gaps, so leave them unchanged until the message is sent. `crc32` computes the arrays' checksums; give a faster
    one for large frames. Raises LocalProtocolError.
    """
    require_kind(topic, "frame")
    with ours():
        specs, arrays = describe(ARRAY_RULES, {"rgb": rgb, "xyz": xyz}, checksums=checksums, crc32=crc32)
        _check_same_size(specs)
        data = plain_map(replace(header, arrays=specs))
        body = pack({**data, SEALED.name: True} if checksums else data, max_bytes=limits.MAX_HEADER_BYTES)
        _check_total([topic, body, *arrays])
    return [topic, body, *arrays, *([seal(body)] if checksums else [])]


def decode_frame(message: Sequence[MessageFrame]) -> Frame:
    """The frame in `[topic][header][rgb][xyz][seal?]`, with the topic as it was received.

    Nothing is copied; message frames may be bytes, bytearrays or memoryviews (`zmq.Frame.buffer`). Raises
    RemoteProtocolError and nothing else; it names the part as far as the header could be read and believed.
    """
    named: dict[str, Any] = {}
    with theirs(named):
        return _decode(byte_views(message), named)


def _decode(views: Sequence[memoryview], named: dict[str, Any]) -> Frame:
    if len(views) < 2:
        raise Violation(Reason.TRUNCATED, "the message has no header")
    body, array_views = views[1], views[2:4]
    has_seal = len(views) == 5
    if has_seal and body.nbytes <= limits.MAX_HEADER_BYTES:
        check_seal(body, views[4])
    data = _header_map(body, named)
    require_version(data)
    header = read(FrameHeader, data)
    _check_total(views)
    if len(views) > 5:
        raise Violation(
            Reason.ARRAY_MISMATCH, f"{len(views)} message frames; topic, header, rgb, xyz and seal are 5"
        )
    check_specs(ARRAY_RULES, header.arrays)
    _check_same_size(header.arrays)
    rgb, xyz = view(header.arrays, array_views)
    if check_at(SEALED.name, SEALED.wire_type.check, data.get(SEALED.name, SEALED.default)) and not has_seal:
        raise Violation(Reason.TRUNCATED, "the seal that the header announces is missing")
    sealed = has_seal and all(spec.crc32 is not None for spec in header.arrays)
    return Frame(header, rgb, xyz, sealed)


def _header_map(body: memoryview, named: dict[str, Any]) -> dict[str, object]:
    try:
        data = unpack(body, max_bytes=limits.MAX_HEADER_BYTES)
    except Violation as violation:
        named.update(_attribution(salvage(body)))
        raise violation.under("header") from None
    named.update(_attribution(data))
    return data


def _attribution(data: Mapping[str, object]) -> dict[str, Any]:
    """The fields of a header that say which part it is about, without those that are absent or invalid."""
    found = {}
    for key, check in _ATTRIBUTION_CHECKS.items():
        try:
            found[key] = check(data[key])
        except (KeyError, Violation):
            continue
    return found


def seal(body: bytes | memoryview) -> bytes:
    """The checksum of a header, the last frame of its message (WIRE.md, integrity)."""
    return zlib.crc32(body).to_bytes(SEAL_BYTES, "big")


def check_seal(body: memoryview, found: memoryview) -> None:
    """Raises Violation (`checksum`) if a header is not the one that was sealed."""
    if found != seal(body):
        raise Violation(Reason.CHECKSUM, "the header is not the one that was sealed", "header")


def _check_same_size(specs: Sequence[ArraySpec]) -> None:
    rgb, xyz = specs
    if rgb.shape[:2] != xyz.shape[:2]:
        sizes = [f"{height} x {width}" for height, width in (rgb.shape[:2], xyz.shape[:2])]
        raise Violation(Reason.SIZE_MISMATCH, f"rgb is {sizes[0]}, xyz {sizes[1]}")


def _check_total(message: Sequence[bytes | memoryview]) -> None:
    total = sum(memoryview(frame).nbytes for frame in message)
    if total > limits.MAX_MESSAGE_BYTES:
        raise Violation(Reason.OVERSIZE, f"a message of {total} bytes; at most {limits.MAX_MESSAGE_BYTES}")
