"""Anomaly maps for the operator's display, sent after the verdict on a lossy socket (WIRE.md, map)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.arrays import SPECS, ArrayRule, ArraySpec, check_specs, describe, view
from cmfm_protocol.wire.encoding import MessageFrame, byte_views, ours, pack, read_body, theirs
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import Meaning, Unit, plain_map
from cmfm_protocol.wire.result import BootId, ResultId, Score, WireVerdict
from cmfm_protocol.wire.topics import require_kind
from cmfm_protocol.wire.verdict import Reason
from cmfm_protocol.wire.wire_types import integer, text


@dataclass(frozen=True, eq=False, slots=True)
class MapFields:
    """The fields that say which part maps belong to."""

    map_ref: Annotated[str, text(empty=False), Meaning("that of the result")]
    result_id: Annotated[ResultId, Meaning("of the result")]
    boot_id: Annotated[BootId, Meaning("of the result")]
    stream_uuid: Annotated[str, text(), Meaning("of the frame")]
    seq: Annotated[int, integer(), Meaning("of the frame")]
    part_id: Annotated[str, text(), Meaning("of the frame")]
    recipe: Annotated[str, text(), Meaning("of the frame")]
    threshold: Annotated[Score, Unit("same as `score`"), Meaning("of the result")]
    score: Annotated[Score, Meaning("of the result")]
    verdict: Annotated[WireVerdict, Meaning("of the result")]


@dataclass(frozen=True, slots=True)
class MapHeader(MapFields):
    """The header of a map message."""

    arrays: Annotated[
        tuple[ArraySpec, ...],
        SPECS,
        Meaning("[Array description](#array-description), six, in the order of the table below"),
    ]


@dataclass(frozen=True, eq=False, slots=True)
class AnomalyMaps(MapFields):
    """The maps of one part, all 224 x 224, row 0 on top; decoded arrays are read-only views of the message.

    `psi`, `psi_2d`, `psi_3d` float32 or float16, dimensionless (paper, Eqs. 1 and 3; the recipe aggregates them, by
    default to their product, smoothed); `rgb` (224, 224, 3) uint8, the prepared picture; `depth` float32 metres,
    0 = invalid; `foreground` bool.
    """

    psi: NDArray[Any]
    psi_2d: NDArray[Any]
    psi_3d: NDArray[Any]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    foreground: NDArray[np.bool_]


_SIDES: Final = (limits.MAP_SIDE_PX, limits.MAP_SIDE_PX)
_FLOATS: Final = ("<f4", "<f2")

ARRAY_RULES: Final = (
    ArrayRule("psi", _FLOATS, _SIDES, "1"),
    ArrayRule("psi_2d", _FLOATS, _SIDES, "1"),
    ArrayRule("psi_3d", _FLOATS, _SIDES, "1"),
    ArrayRule("rgb", ("|u1",), (*_SIDES, 3), "sRGB"),
    ArrayRule("depth", ("<f4",), _SIDES, "m", "0"),
    ArrayRule("foreground", ("|u1",), _SIDES, "bool"),
)


def encode_maps(topic: bytes, maps: AnomalyMaps, *, checksums: bool = True) -> list[bytes | memoryview]:
    """`[topic][header][psi][psi_2d][psi_3d][rgb][depth][foreground]`; the last six are views of the arrays.

    Raises LocalProtocolError.
    """
    require_kind(topic, "map")
    with ours():
        arrays = {rule.name: getattr(maps, rule.name) for rule in ARRAY_RULES}
        if getattr(maps.foreground, "dtype", None) != np.bool_:
            raise Violation(Reason.ARRAY_MISMATCH, "expected dtype bool", "foreground")
        arrays["foreground"] = maps.foreground.view(np.uint8)
        specs, views = describe(ARRAY_RULES, arrays, checksums=checksums)
        header = plain_map(MapHeader(**_shared(maps), arrays=specs))
        return [topic, pack(header, max_bytes=limits.MAX_HEADER_BYTES), *views]


def decode_maps(message: Sequence[MessageFrame]) -> AnomalyMaps:
    """The maps in a message of `encode_maps`; nothing is copied. Raises RemoteProtocolError."""
    with theirs():
        views = byte_views(message)
        if len(views) < 2:
            raise Violation(Reason.TRUNCATED, "the message has no header")
        header = read_body(views[1], MapHeader, max_bytes=limits.MAX_HEADER_BYTES)
        check_specs(ARRAY_RULES, header.arrays)
        names = (rule.name for rule in ARRAY_RULES)
        arrays: dict[str, Any] = dict(zip(names, view(header.arrays, views[2:]), strict=True))
        if arrays["foreground"].max() > 1:
            raise Violation(Reason.MALFORMED, "a value that is neither 0 nor 1", "foreground")
        arrays["foreground"] = arrays["foreground"].view(np.bool_)
    return AnomalyMaps(**_shared(header), **arrays)


def _shared(source: MapFields) -> dict[str, Any]:
    return {field.name: getattr(source, field.name) for field in fields(MapFields)}
