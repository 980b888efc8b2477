"""Pictures as arrays: the outline of a mask, depth as a relief map, anomaly over a picture."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cmfm_protocol.pictures.colour_map import DEPTH, HEAT, colourise


def outline(mask: NDArray[np.bool_], thickness_px: int = 1) -> NDArray[np.bool_]:
    """The outline of a mask (H, W): its pixels that touch (by a side) one outside it, or the border of the picture.

    A thicker outline grows by one pixel to every side for each further pixel of thickness.
    """
    rim = mask & ~ndimage.binary_erosion(mask)
    if thickness_px > 1:
        rim = ndimage.binary_dilation(rim, iterations=thickness_px - 1)
    return np.asarray(rim, dtype=np.bool_)


def depth_picture(depth: NDArray[Any]) -> tuple[NDArray[np.uint8], float, float]:
    """Colour depth (H, W) in metres, 0 or not finite for pixels that were not measured: near is bright.

    Returns (H, W, 3) uint8 sRGB with a hint of relief, and the nearest and farthest depth of the scale.
    """
    depth = np.asarray(depth, dtype=np.float64)
    known = np.isfinite(depth) & (depth > 0)
    if not known.any():
        return colourise(np.full(depth.shape, np.nan), 0.0, 1.0), 0.0, 0.0
    near, far = (float(value) for value in np.percentile(depth[known], (0.5, 99.5)))
    coloured = colourise(np.where(known, -depth, np.nan), -far, -near, DEPTH).astype(np.float64)
    # Light from the upper left, as on a relief map, makes dents and bumps visible that the scale is too wide for.
    filled = np.where(known, depth, far)
    slope = np.gradient(filled, axis=0) + np.gradient(filled, axis=1)
    relief = np.clip(1.0 - 6.0 * slope / max(far - near, 1e-6), 0.7, 1.25)
    lit = np.where(known[..., None], coloured * relief[..., None], coloured)
    return np.asarray(np.clip(lit, 0, 255), dtype=np.uint8), near, far


def heat_over_rgb(
    rgb: NDArray[np.uint8],
    psi: NDArray[Any],
    threshold: float | None,
    foreground: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Lay the anomaly Ψ (H, W) over the picture (H, W, 3) uint8: nothing below half the threshold, glowing above.

    Pixels outside `foreground` (H, W) are darkened. Without a usable threshold Ψ's own maximum takes its place.
    Raises ValueError for arrays of different size.
    """
    if psi.shape != rgb.shape[:2] or (foreground is not None and foreground.shape != psi.shape):
        raise ValueError(
            f"psi {psi.shape} and the foreground must be of the size of the picture {rgb.shape[:2]}"
        )
    level = anomaly_level(psi, threshold)
    share = np.nan_to_num(np.asarray(psi, dtype=np.float64) / level, nan=0.0, posinf=2.0, neginf=0.0)
    picture = rgb.astype(np.float64)
    grey = picture.mean(axis=-1, keepdims=True)
    picture = 0.45 * picture + 0.55 * grey  # paler, so that the heat is the only strong colour
    if foreground is not None:
        picture = np.where(foreground[..., None], picture, 0.45 * picture)
    opacity = 0.85 * np.clip((share - 0.5) / 0.5, 0.0, 1.0)[..., None]
    heat = colourise(share, 0.0, 2.0, HEAT).astype(np.float64)
    return np.asarray(np.clip(picture + opacity * (heat - picture), 0, 255), dtype=np.uint8)


def as_scored(psi: NDArray[Any], score: float | None) -> NDArray[Any]:
    """Ψ (H, W) in the unit of its part's score, so that its maximum is the score; unchanged if there is no score.

    A recipe may scale Ψ for its score, or take the score from several pixels; so this map, not Ψ, is compared with a
    threshold.
    """
    highest = float(psi.max())
    if score is None or not np.isfinite(score) or not 0 < highest < np.inf:
        return psi
    return psi * np.float32(score / highest)


def anomaly_level(psi: NDArray[Any], threshold: float | None) -> float:
    """The Ψ at which a pixel is anomalous: the threshold, or Ψ's maximum if there is no usable threshold."""
    if threshold is not None and np.isfinite(threshold) and threshold > 0:
        return float(threshold)
    finite = psi[np.isfinite(psi)]
    return max(float(finite.max()) if finite.size else 0.0, 1e-12)


def modality_scale_end(values: NDArray[Any], psi: NDArray[Any], threshold: float | None) -> float:
    """The end of the heat scale of Ψ_2D or Ψ_3D (H, W), beside the `psi` (H, W) of their part.

    A good part's maps get the scale that a bad one's would have, or their noise would look like a defect.
    """
    peak = max(float(np.nan_to_num(psi).max()), 1e-12)
    headroom = float(np.clip(anomaly_level(psi, threshold) / peak, 1.0, 100.0)) ** 0.5
    highest = float(np.nan_to_num(values).max())
    return float(max(highest * headroom, 1e-12))
