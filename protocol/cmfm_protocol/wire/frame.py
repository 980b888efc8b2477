"""Frames: one part's registered colour and points, from the camera to the worker (WIRE.md, frame)."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.arrays import SPECS, ArrayRule, ArraySpec, check_specs, describe, view
from cmfm_protocol.wire.checks import Check, at, flag, integer, number, one_of, optional, text, time_ns
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.record import (
    Part,
    byte_views,
    checked,
    ours,
    pack,
    plain,
    read,
    require_version,
    salvage,
    theirs,
    unpack,
)
from cmfm_protocol.wire.topics import require_kind
from cmfm_protocol.wire.verdict import Reason

CLOCKS: Final = ("realtime", "monotonic", "none")
"""What `trigger_ns` counts: CLOCK_REALTIME, the worker's own CLOCK_MONOTONIC, or nothing comparable."""

UNATTRIBUTED_STREAM: Final = "unattributed"
"""Stream under which the worker answers messages that belong to no stream; no camera may use it."""

SEALED_KEY: Final = "sealed"
SEAL_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Which part this is, when it was triggered, until when it needs a verdict, and by which recipe.

    `trigger_ns` in the clock named by `clock`; `deadline_ms` from the trigger to the verdict; `encoder`
    counts of the conveyor's encoder; `pub_drops` frames that the camera itself has dropped since its boot.
    `encode_frame` fills `arrays`.
    """

    stream_uuid: str
    seq: int
    part_id: str
    trigger_ns: int
    deadline_ms: float
    recipe: str
    clock: str = "realtime"
    encoder: int | None = None
    calib_id: str = ""
    simulated: bool = False
    pub_drops: int = 0
    arrays: tuple[ArraySpec, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """A decoded frame; both arrays are read-only views of the message.

    `rgb` (H, W, 3) uint8 sRGB; `xyz` (H, W, 3) float32 metres, a point being invalid where a coordinate is
    not finite or all are 0. `sealed`: header and both arrays carried checksums, and they were right.
    """

    header: FrameHeader
    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    sealed: bool = False


def _stream_uuid(value: object) -> str:
    stream_uuid: str = text(empty=False)(value)
    if stream_uuid == UNATTRIBUTED_STREAM:
        raise Violation(Reason.MALFORMED, f"{UNATTRIBUTED_STREAM!r} is the worker's own")
    return stream_uuid


HEADER_TABLE: Final[Mapping[str, Check]] = {
    "stream_uuid": _stream_uuid,
    "seq": integer(),
    "part_id": text(),
    "trigger_ns": time_ns(),
    "deadline_ms": number(0, limits.MAX_DEADLINE_MS),
    "recipe": text(),
    "clock": one_of(CLOCKS),
    "encoder": optional(integer(-limits.MAX_COUNT)),
    "calib_id": text(),
    "simulated": flag,
    "pub_drops": integer(),
    "arrays": SPECS,
}
ATTRIBUTION: Final = ("stream_uuid", "seq", "part_id", "trigger_ns", "deadline_ms", "clock", "recipe")

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
) -> list[bytes | memoryview]:
    """`[topic][header][rgb][xyz]` and, with `checksums`, `[seal]`.

    `rgb` (H, W, 3) uint8, `xyz` (H, W, 3) float32 metres; the parts are views of both where they have no
    gaps, so leave them unchanged until the message is sent. Raises LocalProtocolError.
    """
    require_kind(topic, "frame")
    with ours():
        specs, parts = describe(ARRAY_RULES, {"rgb": rgb, "xyz": xyz}, checksums=checksums)
        _check_same_size(specs)
        data = plain(checked(replace(header, arrays=specs), HEADER_TABLE))
        body = pack({**data, SEALED_KEY: True} if checksums else data, max_bytes=limits.MAX_HEADER_BYTES)
        _check_total([topic, body, *parts])
    return [topic, body, *parts, *([seal(body)] if checksums else [])]


def decode_frame(parts: Sequence[Part]) -> Frame:
    """The frame in `[topic][header][rgb][xyz][seal?]`, with the topic as it was received.

    Nothing is copied; `parts` may be bytes, bytearrays or memoryviews (`zmq.Frame.buffer`). Raises
    RemoteProtocolError and nothing else; it names the part as far as the header could be read and believed.
    """
    named: dict[str, Any] = {}
    with theirs(named):
        return _decode(parts, named)


def _decode(parts: Sequence[Part], named: dict[str, Any]) -> Frame:
    views = byte_views(parts)
    if len(views) < 2:
        raise Violation(Reason.TRUNCATED, "no header part")
    body, array_parts = views[1], views[2:4]
    has_seal = len(views) == 5
    if has_seal and body.nbytes <= limits.MAX_HEADER_BYTES:
        check_seal(body, views[4])
    data = _header_map(body, named)
    require_version(data)
    header = read(FrameHeader, HEADER_TABLE, data)
    _check_total(views)
    if len(views) > 5:
        raise Violation(Reason.ARRAY_MISMATCH, f"{len(views)} parts; topic, header, rgb, xyz and seal are 5")
    check_specs(ARRAY_RULES, header.arrays)
    _check_same_size(header.arrays)
    rgb, xyz = view(header.arrays, array_parts)
    if at(SEALED_KEY, flag, data.get(SEALED_KEY, False)) and not has_seal:
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
    """What of the header says which part it is, field by field, each only where it is valid."""
    found = {}
    for key in ATTRIBUTION:
        try:
            found[key] = HEADER_TABLE[key](data[key])
        except (KeyError, Violation):
            continue
    return found


def seal(body: bytes | memoryview) -> bytes:
    """The checksum of a header, as the last part of its message (WIRE.md, integrity)."""
    return zlib.crc32(body).to_bytes(SEAL_BYTES, "big")


def check_seal(body: memoryview, found: memoryview) -> None:
    """Raises Violation (`checksum`) where a header is not the one that was sealed."""
    if found != seal(body):
        raise Violation(Reason.CHECKSUM, "the header is not the one that was sealed", "header")


def _check_same_size(specs: Sequence[ArraySpec]) -> None:
    rgb, xyz = specs
    if rgb.shape[:2] != xyz.shape[:2]:
        sizes = [f"{height} x {width}" for height, width in (rgb.shape[:2], xyz.shape[:2])]
        raise Violation(Reason.SIZE_MISMATCH, f"rgb is {sizes[0]}, xyz {sizes[1]}")


def _check_total(parts: Sequence[bytes | memoryview]) -> None:
    total = sum(memoryview(part).nbytes for part in parts)
    if total > limits.MAX_MESSAGE_BYTES:
        raise Violation(Reason.OVERSIZE, f"a message of {total} bytes; at most {limits.MAX_MESSAGE_BYTES}")
