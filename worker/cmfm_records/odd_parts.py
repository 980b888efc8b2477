"""Collected parts that differ from the others of their product, for a person to look at. Nothing is decided here.

Compared are the facts in result.json: the size of the picture, the view (`View`), the score if a recipe judged the
part, and the frame's hash. A part is odd if it lies further from the median than six times the usual distance from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cmfm_records.collected import CollectedPart

Oddness = Literal["size", "brightness", "measured", "distance", "score", "repeated"]

LEAST_PARTS: Final = 8
"""Among fewer parts nobody can tell which one is odd."""

TIMES_USUAL: Final = 6.0
STEP_PX: Final = 4
"""Every fourth row and column is looked at: a view is not worth more time."""

FLOORS: Final[Mapping[str, float]] = {"brightness": 8.0, "measured": 0.02, "distance_m": 0.003}
"""Differences below these are never odd, however alike the other parts are."""


@dataclass(frozen=True, slots=True)
class View:
    """Mean brightness (0 to 255), share of measured points, their median distance along z in metres (0: none)."""

    brightness: float
    measured: float
    distance_m: float

    def facts(self) -> dict[str, float]:
        """The view for result.json."""
        return asdict(self)


def view_of(rgb: NDArray[np.uint8], xyz: NDArray[np.float32]) -> View:
    """Measure the view of a frame: rgb (H, W, 3) uint8, xyz (H, W, 3) float32 metres."""
    z = xyz[::STEP_PX, ::STEP_PX, 2]
    measured = z[np.isfinite(z) & (z > 0)]
    distance_m = float(np.median(measured)) if measured.size else 0.0
    return View(
        round(float(rgb[::STEP_PX, ::STEP_PX].mean()), 2),
        round(measured.size / z.size, 4),
        round(distance_m, 5),
    )


def odd_parts(parts: Sequence[CollectedPart]) -> dict[str, tuple[Oddness, ...]]:
    """Return the names of odd parts, each with what is odd about it. A frame is repeated from its second time on."""
    found: dict[str, list[Oddness]] = {part.name: [] for part in parts}
    for name in _repeated(parts):
        found[name].append("repeated")
    if len(parts) >= LEAST_PARTS:
        sizes = [str(part.facts.get("size_px")) for part in parts]
        usual = max(sorted(set(sizes)), key=sizes.count)
        for part, size in zip(parts, sizes, strict=True):
            if size != usual:
                found[part.name].append("size")
        measures: tuple[tuple[Oddness, str], ...] = (
            ("brightness", "brightness"),
            ("measured", "measured"),
            ("distance", "distance_m"),
        )
        for oddness, key in measures:
            _mark(parts, oddness, _of_view(key), FLOORS[key], found)
        _mark(parts, "score", lambda part: _number(part.facts.get("score")), 0.0, found, above_only=True)
    return {name: tuple(reasons) for name, reasons in found.items() if reasons}


def _mark(
    parts: Sequence[CollectedPart],
    oddness: Oddness,
    value_of: Callable[[CollectedPart], float | None],
    floor: float,
    found: dict[str, list[Oddness]],
    *,
    above_only: bool = False,
) -> None:
    values = {part.name: value for part in parts if (value := value_of(part)) is not None}
    if len(values) < LEAST_PARTS:
        return
    middle = median(values.values())
    usual = median(abs(value - middle) for value in values.values())
    limit = max(floor, TIMES_USUAL * usual)
    for name, value in values.items():
        away = value - middle if above_only else abs(value - middle)
        if away > limit > 0:
            found[name].append(oddness)


def _of_view(key: str) -> Callable[[CollectedPart], float | None]:
    def value(part: CollectedPart) -> float | None:
        view = part.facts.get("view")
        return _number(view.get(key)) if isinstance(view, Mapping) else None

    return value


def _repeated(parts: Sequence[CollectedPart]) -> list[str]:
    seen: set[Any] = set()
    again = []
    for part in parts:
        if part.facts["frame_sha256"] in seen:
            again.append(part.name)
        seen.add(part.facts["frame_sha256"])
    return again


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None
