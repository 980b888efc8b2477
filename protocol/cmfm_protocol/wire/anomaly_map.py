"""Anomaly maps: what an operator looks at, after the verdict and on a lossy socket (WIRE.md, map)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.arrays import SPECS, ArrayRule, ArraySpec, check_specs, describe, view
from cmfm_protocol.wire.checks import integer, member, number, optional, text
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.record import (
    Part,
    Table,
    byte_views,
    checked,
    ours,
    pack,
    plain,
    read,
    require_version,
    theirs,
    unpack,
)
from cmfm_protocol.wire.topics import require_kind
from cmfm_protocol.wire.verdict import Reason, Verdict


@dataclass(frozen=True, slots=True)
class MapHeader:
    """Which part a map message is about; `map_ref` is that of its result."""

    map_ref: str
    result_id: int
    boot_id: str
    stream_uuid: str
    seq: int
    part_id: str
    recipe: str
    threshold: float | None
    score: float | None
    verdict: Verdict
    arrays: tuple[ArraySpec, ...]


@dataclass(frozen=True, eq=False, slots=True)
class AnomalyMaps:
    """The maps of one part, all 224 x 224, row 0 on top; decoded arrays are read-only views of the message.

    `psi`, `psi_2d`, `psi_3d` float32 or float16, dimensionless (paper, Eqs. 1 and 3 and what the recipe
    makes of them, their product by default, smoothed); `rgb` (224, 224, 3) uint8, the picture as it was
    prepared; `depth` float32 metres, 0 = invalid; `foreground` bool.
    """

    map_ref: str
    result_id: int
    boot_id: str
    stream_uuid: str
    seq: int
    part_id: str
    recipe: str
    threshold: float | None
    score: float | None
    verdict: Verdict
    psi: NDArray[Any]
    psi_2d: NDArray[Any]
    psi_3d: NDArray[Any]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    foreground: NDArray[np.bool_]


HEADER_TABLE: Final[Table] = {
    "map_ref": text(empty=False),
    "result_id": integer(1),
    "boot_id": text(empty=False),
    "stream_uuid": text(),
    "seq": integer(),
    "part_id": text(),
    "recipe": text(),
    "threshold": optional(number()),
    "score": optional(number()),
    "verdict": member(Verdict),
    "arrays": SPECS,
}

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
    """`[topic][header][psi][psi_2d][psi_3d][rgb][depth][foreground]`; the parts are views of the arrays.

    Raises LocalProtocolError.
    """
    require_kind(topic, "map")
    with ours():
        arrays = {rule.name: getattr(maps, rule.name) for rule in ARRAY_RULES}
        if getattr(maps.foreground, "dtype", None) != np.bool_:
            raise Violation(Reason.ARRAY_MISMATCH, "expected dtype bool", "foreground")
        arrays["foreground"] = maps.foreground.view(np.uint8)
        specs, parts = describe(ARRAY_RULES, arrays, checksums=checksums)
        header = checked(MapHeader(**_identity(maps), arrays=specs), HEADER_TABLE)
        return [topic, pack(plain(header), max_bytes=limits.MAX_HEADER_BYTES), *parts]


def decode_maps(parts: Sequence[Part]) -> AnomalyMaps:
    """The maps in a message as `encode_maps` makes it, nothing copied. Raises RemoteProtocolError."""
    with theirs():
        views = byte_views(parts)
        if len(views) < 2:
            raise Violation(Reason.TRUNCATED, "no header part")
        data = unpack(views[1], max_bytes=limits.MAX_HEADER_BYTES)
        require_version(data)
        header = read(MapHeader, HEADER_TABLE, data)
        check_specs(ARRAY_RULES, header.arrays)
        names = (rule.name for rule in ARRAY_RULES)
        arrays: dict[str, Any] = dict(zip(names, view(header.arrays, views[2:]), strict=True))
        if arrays["foreground"].max() > 1:
            raise Violation(Reason.MALFORMED, "a value that is neither 0 nor 1", "foreground")
        arrays["foreground"] = arrays["foreground"].view(np.bool_)
    return AnomalyMaps(**_identity(header), **arrays)


def _identity(source: MapHeader | AnomalyMaps) -> dict[str, Any]:
    """What header and maps have in common."""
    return {field.name: getattr(source, field.name) for field in fields(MapHeader) if field.name != "arrays"}
