"""The size and distance of the frames that a recipe is taught on."""

from collections.abc import Sequence
from statistics import median
from typing import Final, Protocol

from cmfm_protocol.wire.points import PointFacts
from cmfm_worker.recipes.sections import FrameSection

SHARE: Final = 0.1
"""Tolerance of the distance as a share of it: a part looks a tenth larger or smaller at its ends."""

SPREADS: Final = 2.0
"""Tolerance as a multiple of the largest difference among the nominal parts, if that is more."""


class Recorded(Protocol):
    """A part that was recorded: the height and width of its pictures, and what its points were like."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width."""
        ...

    @property
    def points(self) -> PointFacts:
        """See `cmfm_protocol.wire.points`."""
        ...


def frame_section(parts: Sequence[Recorded]) -> FrameSection:
    """Return the recipe's section; the size is left out if the parts have several sizes."""
    sizes = {part.size_px for part in parts}
    height_px, width_px = sizes.pop() if len(sizes) == 1 else (None, None)
    distances = [part.points.distance_m for part in parts if part.points.distance_m is not None]
    if not distances:
        return FrameSection(height_px=height_px, width_px=width_px)
    usual = median(distances)
    spread = max(abs(distance - usual) for distance in distances)
    return FrameSection(
        height_px=height_px,
        width_px=width_px,
        distance_m=round(usual, 6),
        distance_tolerance_m=round(max(SHARE * usual, SPREADS * spread), 6),
    )


def filled(frame: FrameSection, parts: Sequence[Recorded]) -> FrameSection:
    """Return the section with what is absent taken from `parts`; what is there stays."""
    seen = frame_section(parts)
    size, distance = ("height_px", "width_px"), ("distance_m", "distance_tolerance_m")
    absent = [key for pair in (size, distance) if getattr(frame, pair[0]) is None for key in pair]
    return frame.model_copy(update={key: getattr(seen, key) for key in absent})
