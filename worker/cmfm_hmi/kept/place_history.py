"""The history of a place: Ψ at one place of the newest archived parts, as a share of each part's threshold.

A defect at the same place on part after part comes from a tool or a fixture, not from the material.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from cmfm_protocol.pictures.overlay import as_scored
from cmfm_protocol.wire.limits import MAP_SIDE_PX
from cmfm_protocol.wire.result import Result
from cmfm_records.archived_part import read_map
from cmfm_records.archived_row import ArchivedRow
from cmfm_settings.errors import InputError

AROUND_PEAK_PX: Final = 8
"""Half the side of the place of a part without regions, around its highest Ψ."""

Box = tuple[int, int, int, int]
"""row0, col0, row1, col1 in map pixels, as in a region."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a part on the map, and its area if it is that of a region."""

    box: Box
    area_mm2: float | None = None


@dataclass(frozen=True, slots=True)
class PlaceValue:
    """One part's highest Ψ at the place, divided by its threshold: 1 and more is a defect."""

    row: ArchivedRow
    share: float


def places_of(result: Result) -> list[Place]:
    """The places of a part that have a history: its regions; without them the surroundings of its peak, if known."""
    regions = [Place(region.bbox, region.area_mm2) for region in result.regions if _has_area(region.bbox)]
    if regions or result.peak_px is None:
        return regions
    row, col = (min(max(at, 0), MAP_SIDE_PX - 1) for at in result.peak_px)
    first = (max(row - AROUND_PEAK_PX, 0), max(col - AROUND_PEAK_PX, 0))
    return [Place((*first, min(row + AROUND_PEAK_PX, MAP_SIDE_PX), min(col + AROUND_PEAK_PX, MAP_SIDE_PX)))]


def values_at(parent: Path, rows: Iterable[ArchivedRow], box: Box) -> list[PlaceValue]:
    """Read Ψ at a place of some parts; one that is gone, damaged, or has no threshold is left out."""
    found = []
    for row in rows:
        if row.threshold is None or row.threshold <= 0:
            continue
        try:
            psi = read_map(parent / row.name, "psi")
        except InputError:
            continue
        if psi is not None:
            inside = as_scored(psi, row.score)[box[0] : box[2], box[1] : box[3]]
            highest = float(np.nan_to_num(np.asarray(inside, dtype=np.float32)).max())
            found.append(PlaceValue(row, highest / row.threshold))
    return found


def _has_area(box: Box) -> bool:
    return box[0] < box[2] and box[1] < box[3]
