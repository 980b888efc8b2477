"""Colour maps: two scales whose lightness grows evenly from dark to light, so that a larger number looks larger."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAT = ("0b0a1a", "3a1a66", "7f2379", "c23a62", "ee6a43", "fbaf45", "fdf4c0")
"""For anomaly: night blue over red to pale yellow."""
DEPTH = ("0d1526", "1c3f66", "22708a", "3f9d86", "8cc474", "e0e68a", "fbfbe0")
"""For distance: far is dark blue, near is pale green."""
NO_VALUE = (58, 58, 64)
"""The grey of pixels that carry no number."""

_STEPS = 256


def colourise(
    values: NDArray[Any], low: float, high: float, anchors: tuple[str, ...] = HEAT
) -> NDArray[np.uint8]:
    """Colour (H, W) numbers from `low` to `high`: (H, W, 3) uint8 sRGB.

    Numbers beyond the range get the colour of its end; numbers that are not finite get `NO_VALUE` grey. A range of no
    width gives the low colour up to it and the high colour above.
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    width = high - low if np.isfinite(high - low) and high > low else np.finfo(np.float64).tiny
    share = np.clip((np.where(known, values, low) - low) / width, 0.0, 1.0)
    coloured = colour_table(anchors)[np.round(share * (_STEPS - 1)).astype(np.intp)]
    coloured[~known] = NO_VALUE
    return coloured


def colour_table(anchors: tuple[str, ...]) -> NDArray[np.uint8]:
    """The 256 colours (256, 3) of a scale from dark to light: through its anchors, evenly spaced in CIE lightness."""
    stops = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in anchors], dtype=np.float64)
    along = np.linspace(0.0, len(stops) - 1.0, 16 * _STEPS)
    path = np.stack([np.interp(along, np.arange(len(stops)), stops[:, i]) for i in range(3)], axis=-1)
    levels = lightness(path)
    wanted = np.linspace(levels[0], levels[-1], _STEPS)
    even = np.stack([np.interp(wanted, levels, path[:, i]) for i in range(3)], axis=-1)
    return np.round(even).astype(np.uint8)


def lightness(srgb: NDArray[Any]) -> NDArray[np.float64]:
    """CIE L* (0 to 100) of sRGB colours (..., 3) of 0 to 255."""
    coded = np.asarray(srgb, dtype=np.float64) / 255.0
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    levels: NDArray[np.float64] = np.where(
        luminance > 0.008856, 116.0 * np.cbrt(luminance) - 16.0, 903.3 * luminance
    )
    return levels
