"""A filled buffer of a producer as bytes and parts. Nothing is copied."""

from dataclasses import dataclass
from typing import Any

from genicam import gentl

from cmfm_cameras.errors import Refusal, RefusedCaptureError
from cmfm_cameras.gentl.parts import Part

IMAGE, CHUNK, MULTI_PART, GENDC = 1, 4, 10, 11
"""GenTL's PAYLOADTYPE_INFO_IDS."""


@dataclass(frozen=True, slots=True)
class RawFrame:
    """A filled buffer: `raw` is the producer's memory until the buffer is given back. Copy before that.

    `timestamp_ns` counts the device's own clock.
    """

    raw: bytes
    parts: tuple[Part, ...]
    frame_id: int | None
    timestamp_ns: int | None


def raw_frame(buffer: Any) -> RawFrame:
    """Return a buffer's parts. Raises RefusedCaptureError for a container that is not converted."""
    frame_id, timestamp_ns = _optional(buffer, "frame_id"), _optional(buffer, "timestamp_ns")
    kind = int(buffer.payload_type)
    if kind == MULTI_PART:
        parts = tuple(part_of(part) for part in buffer.parts)
    elif kind in (IMAGE, CHUNK):
        parts = (_whole(buffer),)
    else:
        why = (
            "GenDC: switch GenDCStreamingMode off" if kind == GENDC else "one of GenTL's other payload types"
        )
        raise RefusedCaptureError(
            Refusal.UNSUPPORTED, f"payload type {kind} is not converted, {why}", frame_id=frame_id
        )
    return RawFrame(buffer.raw_buffer, parts, frame_id, timestamp_ns)


def part_of(part: Any) -> Part:
    """Return one part of a multi-part buffer. Raises RefusedCaptureError if not all its rows were delivered."""
    delivered = _optional(part, "delivered_image_height")
    if delivered and delivered < part.height:
        raise RefusedCaptureError(Refusal.INCOMPLETE, f"{delivered} of {part.height} rows were delivered")
    return Part(
        code=int(part.data_format),
        offset=int(part.data_offset),
        size=int(part.data_size),
        width=int(part.width),
        height=int(part.height),
        x_offset=_optional(part, "x_offset") or 0,
        y_offset=_optional(part, "y_offset") or 0,
        x_padding=_optional(part, "x_padding") or 0,
        source_id=_optional(part, "source_id") or 0,
    )


def _whole(buffer: Any) -> Part:
    """The single image of a buffer without parts."""
    return Part(
        code=int(buffer.pixel_format),
        offset=_optional(buffer, "image_offset") or 0,
        size=int(buffer.size_filled),
        width=int(buffer.width),
        height=int(buffer.height),
        x_offset=_optional(buffer, "offset_x") or 0,
        y_offset=_optional(buffer, "offset_y") or 0,
        x_padding=_optional(buffer, "padding_x") or 0,
    )


def _optional(module: Any, name: str) -> int | None:
    try:
        return int(getattr(module, name))
    except (gentl.GenericException, AttributeError, TypeError):
        return None
