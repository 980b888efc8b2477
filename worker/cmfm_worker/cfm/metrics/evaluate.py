"""The paper's metrics of a test set (§ 4), from the maps and scores of its frames."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmfm_worker.cfm.metrics.areas import LIMITS, PixelPools, UndefinedMetricError, auroc
from cmfm_worker.cfm.prepare import SIZE_PX, square_pad_offsets
from cmfm_worker.cfm.variants import Normalisation

GOOD = "good"
PER_DEFECT_LIMIT = 0.3

Limited = dict[str, float | None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FrameOutcome:
    """The result of one frame and its ground truth.

    `psi` (224, 224) float32 is the raw Ψ, `score` the score as the recipe computes it, `gt` (224, 224) bool the
    defect's pixels, `defect` its kind or "good", and `foreground` (224, 224) bool the part's pixels.
    """

    psi: NDArray[np.float32]
    score: float
    gt: NDArray[np.bool_]
    defect: str
    foreground: NDArray[np.bool_]


def evaluate(
    outcomes: Iterable[FrameOutcome], normalisation: Normalisation, seconds: float | None = None
) -> dict[str, Any]:
    """Compute the metrics of a test set as plain values for JSON. A metric that the data do not define is None.

    - `i_auroc` and `p_auroc`.
    - `aupro` (exact), `aupro_99` (99 thresholds) and `aupro_foreground` (exact, with false positives counted among
      foreground pixels only): each a map from "0.3", "0.1", "0.05", "0.01".
    - `per_defect`: kind → `i_auroc`, `aupro` and `aupro_foreground` at 0.3, against all good frames.
    - `frames`, and `fps`: frames over `seconds`, or over the time in which the iterable yielded them.

    `absolute` uses the raw Ψ. `published` computes AUPRO on Ψ/m, with m the mean of a frame's non-zero Ψ, and P-AUROC
    on Ψ/√(mean of all Ψ), as the published numbers are (docs/method.md, scores). I-AUROC uses the given scores.
    """
    start = time.perf_counter()
    frames = list(outcomes)
    seconds = time.perf_counter() - start if seconds is None else seconds
    scaled = [_normalised(frame, normalisation) for frame in frames]
    kinds = sorted({frame.defect for frame in frames} - {GOOD})
    return {
        "i_auroc": _i_auroc(frames),
        "p_auroc": _p_auroc(frames, normalisation),
        **_aupros(scaled),
        "per_defect": {kind: _of_kind(scaled, kind) for kind in kinds},
        "frames": len(frames),
        "fps": len(frames) / seconds if seconds > 0 else None,
    }


def ground_truth_at_map_size(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Resize a ground truth (H, W) to the maps: (224, 224) bool, from the pixels that the points are taken from."""
    height, width = mask.shape
    top, left, side = square_pad_offsets(height, width)
    source = np.arange(SIZE_PX) * side // SIZE_PX
    rows, columns = source - top, source - left
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    picked = mask[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    at_size: NDArray[np.bool_] = inside & (picked != 0)
    return at_size


def _normalised(frame: FrameOutcome, normalisation: Normalisation) -> FrameOutcome:
    return replace(frame, psi=psi_for_aupro(frame.psi, normalisation))


def psi_for_aupro(psi: NDArray[np.float32], normalisation: Normalisation) -> NDArray[np.float32]:
    """Return the map that AUPRO and its curve are computed on, (224, 224) float32: Ψ, or Ψ/m if `published`."""
    nonzero = psi[psi != 0]
    if normalisation == "absolute" or not nonzero.size:
        return psi
    scaled: NDArray[np.float32] = (psi / nonzero.mean(dtype=np.float64)).astype(np.float32)
    return scaled


def _i_auroc(frames: Sequence[FrameOutcome]) -> float | None:
    scores = np.array([frame.score for frame in frames], dtype=np.float64)
    labels = np.array([frame.defect != GOOD for frame in frames], dtype=bool)
    return _defined(lambda: auroc(scores, labels))


def _p_auroc(frames: Sequence[FrameOutcome], normalisation: Normalisation) -> float | None:
    maps = [frame.psi for frame in frames]
    if normalisation == "published":
        means = [psi.mean(dtype=np.float64) for psi in maps]
        maps = [
            (psi / np.sqrt(m)).astype(np.float32) if m else psi for psi, m in zip(maps, means, strict=True)
        ]
    return _defined(lambda: PixelPools(maps, [frame.gt for frame in frames]).auroc())


def _aupros(frames: Sequence[FrameOutcome]) -> dict[str, Limited]:
    pools = _defined(lambda: _pools(frames))
    inside = _defined(lambda: _pools(frames, foreground_only=True))
    return {
        "aupro": _by_limit(pools.aupro_exact() if pools else None),
        "aupro_99": _by_limit(pools.aupro_thresholds() if pools else None),
        "aupro_foreground": _by_limit(inside.aupro_exact() if inside else None),
    }


def _of_kind(frames: Sequence[FrameOutcome], kind: str) -> Limited:
    chosen = [frame for frame in frames if frame.defect in (kind, GOOD)]
    aupro = _defined(lambda: _pools(chosen).aupro_exact([PER_DEFECT_LIMIT])[0])
    inside = _defined(lambda: _pools(chosen, foreground_only=True).aupro_exact([PER_DEFECT_LIMIT])[0])
    return {"i_auroc": _i_auroc(chosen), "aupro": aupro, "aupro_foreground": inside}


def _pools(frames: Sequence[FrameOutcome], *, foreground_only: bool = False) -> PixelPools:
    return PixelPools(
        [frame.psi for frame in frames],
        [frame.gt for frame in frames],
        [frame.foreground for frame in frames] if foreground_only else None,
    )


def _by_limit(values: Sequence[float] | None) -> Limited:
    return {str(limit): values[i] if values else None for i, limit in enumerate(LIMITS)}


def _defined(compute: Callable[[], T]) -> T | None:
    try:
        return compute()
    except UndefinedMetricError:
        return None
