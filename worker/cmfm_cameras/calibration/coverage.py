"""Views that are too few, too alike, or leave too much of the picture out: a fit to them would only look good."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cmfm_cameras.calibration.board import Corners

LEAST_VIEWS: Final = 8
GRID: Final = 4
"""The picture is divided into so many fields each way."""

LEAST_COVERED: Final = 0.75
"""Share of the fields in which corners must lie; distortion outside of them is a guess."""

LEAST_TILT_DEG: Final = 20.0
"""Largest angle between the board's normals of two views: below it focal length and distance cannot be told apart."""

MOST_FOCAL_DEVIATION: Final = 0.005
"""Standard deviation of the focal length, relative to it."""


def covered(views: list[Corners], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell for each field of the picture (GRID, GRID) whether a corner lies in it."""
    fields = np.zeros((GRID, GRID), dtype=bool)
    for view in views:
        columns = np.clip((view.pixels[:, 0] + 0.5) * GRID / size[0], 0, GRID - 1).astype(int)
        rows = np.clip((view.pixels[:, 1] + 0.5) * GRID / size[1], 0, GRID - 1).astype(int)
        fields[rows, columns] = True
    return fields


def view_problems(views: list[Corners], size: tuple[int, int]) -> list[str]:
    """Return what the views lack before anything is fitted."""
    if not views:
        return [
            "the board is found in no view that both see: are --board, --squares and --dictionary those of the board?"
        ]
    problems = []
    if len(views) < LEAST_VIEWS:
        problems.append(f"the board is found in {len(views)} views; at least {LEAST_VIEWS} are needed")
    fields = covered(views, size)
    if fields.mean() < LEAST_COVERED:
        problems.append(
            f"corners lie in {fields.sum()} of {fields.size} fields of the picture; at least "
            f"{LEAST_COVERED * fields.size:.0f} are needed. Hold the board {_where(~fields)} too"
        )
    return problems


def tilt_deg(normals: NDArray[np.float64]) -> float:
    """Return the largest angle between two of the board's normals (n, 3)."""
    cosines = np.clip(normals @ normals.T, -1.0, 1.0)
    return float(np.degrees(np.arccos(cosines.min())))


def fit_problems(normals: NDArray[np.float64], focal_deviation: float) -> list[str]:
    """Return what a fit shows the views to lack."""
    problems = []
    if (tilt := tilt_deg(normals)) < LEAST_TILT_DEG:
        problems.append(
            f"the board's views differ by at most {tilt:.0f}° in tilt; tilt it by {LEAST_TILT_DEG:.0f}° and more, "
            "about both axes"
        )
    if focal_deviation > MOST_FOCAL_DEVIATION:
        problems.append(
            f"the focal length is uncertain by {focal_deviation:.1%}; take more views, tilted and at other distances"
        )
    return problems


def _where(missing: NDArray[np.bool_]) -> str:
    """Name the sides of the picture on which most fields are missing."""
    half = GRID // 2
    shares = {
        "at the top": missing[:half].mean(),
        "at the bottom": missing[half:].mean(),
        "at the left": missing[:, :half].mean(),
        "at the right": missing[:, half:].mean(),
    }
    most = max(shares.values())
    return " and ".join(name for name, share in shares.items() if share >= 0.8 * most)
