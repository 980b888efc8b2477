"""Metrics of a test set: documented keys, both normalisations, undefined metrics, the size of ground truths."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cmfm_worker.cfm.anomaly_score import score
from cmfm_worker.cfm.metrics.areas import PixelPools
from cmfm_worker.cfm.metrics.evaluate import FrameOutcome, evaluate, ground_truth_at_map_size
from cmfm_worker.cfm.prepare import BackgroundOptions, prepare


def outcome(defect: str, seed: int, strength: float, gain: float = 1.0) -> FrameOutcome:
    """A noisy map whose defect, if any, exceeds the noise by `strength`; `gain` scales the whole map."""
    rng = np.random.default_rng(seed)
    part = np.zeros((224, 224), dtype=bool)
    part[40:180, 40:180] = True
    gt = np.zeros_like(part)
    if defect != "good":
        gt[60:80, 60 + seed : 90 + seed] = True
    psi = (gain * part * (rng.random(part.shape) + strength * gt)).astype(np.float32)
    return FrameOutcome(psi, float(psi.max()), gt, defect, part)


def a_test_set(gain: float = 1.0) -> list[FrameOutcome]:
    """Three good parts, two with an obvious hole, two with a faint stain."""
    return [
        *(outcome("good", i, 0.0) for i in range(3)),
        *(outcome("hole", 10 + i, 3.0, gain) for i in range(2)),
        *(outcome("stain", 20 + i, 0.3, gain) for i in range(2)),
    ]


def test_report_has_exactly_the_documented_keys_and_is_json() -> None:
    """The report has exactly the documented keys and plain values, because scripts read it."""
    report = evaluate(a_test_set(), "absolute", seconds=2.0)
    assert set(report) == {
        *("i_auroc", "p_auroc", "aupro", "aupro_99", "aupro_foreground", "per_defect", "frames", "fps")
    }
    for name in ("aupro", "aupro_99", "aupro_foreground"):
        assert list(report[name]) == ["0.3", "0.1", "0.05", "0.01"]
    assert set(report["per_defect"]) == {"hole", "stain"}
    assert set(report["per_defect"]["hole"]) == {"i_auroc", "aupro", "aupro_foreground"}
    assert (report["frames"], report["fps"]) == (7, 3.5)
    assert json.loads(json.dumps(report)) == report


def test_obvious_defects_score_higher_than_faint_ones() -> None:
    """Each kind is compared with all good parts. The zeros of the tray raise the image-wide AUPRO."""
    report = evaluate(a_test_set(), "absolute")
    assert report["per_defect"]["hole"] == {
        "i_auroc": 1.0,
        "aupro": pytest.approx(1.0),
        "aupro_foreground": pytest.approx(1.0, abs=0.01),
    }
    assert report["per_defect"]["stain"]["aupro_foreground"] < report["per_defect"]["stain"]["aupro"]
    assert 0.4 < report["per_defect"]["stain"]["aupro"] < 0.95
    assert report["aupro_foreground"]["0.3"] < report["aupro"]["0.3"]


def test_absolute_figures_are_those_of_the_raw_maps() -> None:
    """With `absolute`, metrics are those of the raw maps."""
    frames = a_test_set(gain=0.5)
    report = evaluate(frames, "absolute")
    maps, gts = [frame.psi for frame in frames], [frame.gt for frame in frames]
    assert list(report["aupro"].values()) == pytest.approx(PixelPools(maps, gts).aupro_exact())
    assert report["p_auroc"] == pytest.approx(PixelPools(maps, gts).auroc())


def test_published_figures_normalise_every_frame_by_its_own_mean() -> None:
    """A frame's gain cancels in Ψ/m (AUPRO) and not in Ψ/√m (P-AUROC)."""
    frames = a_test_set(gain=0.25)
    plain, scaled = evaluate(frames, "published"), evaluate(a_test_set(), "published")
    assert plain["aupro"] == pytest.approx(scaled["aupro"], abs=1e-5)
    assert plain["p_auroc"] != pytest.approx(scaled["p_auroc"], abs=1e-3)
    by_root = [frame.psi / np.sqrt(frame.psi.mean()) for frame in frames]
    assert plain["p_auroc"] == pytest.approx(
        PixelPools(by_root, [frame.gt for frame in frames]).auroc(), abs=1e-6
    )
    by_mean = [frame.psi / frame.psi[frame.psi != 0].mean() for frame in frames]
    assert plain["aupro"]["0.3"] == pytest.approx(
        PixelPools(by_mean, [f.gt for f in frames]).aupro_exact([0.3])[0], abs=1e-6
    )


def test_i_auroc_follows_the_scores_given() -> None:
    """I-AUROC uses the recipe's score and not the map's maximum."""
    frames = [
        FrameOutcome(
            f.psi, float(score(torch.from_numpy(f.psi)[None], "published")), f.gt, f.defect, f.foreground
        )
        for f in a_test_set()
    ]
    turned = [FrameOutcome(f.psi, -f.score, f.gt, f.defect, f.foreground) for f in frames]
    assert evaluate(frames, "published")["i_auroc"] == pytest.approx(
        1 - evaluate(turned, "published")["i_auroc"]
    )


def test_undefined_metrics_are_none() -> None:
    """With only good parts, only defective parts, or no part, undefined metrics are None."""
    good = evaluate([outcome("good", 0, 0.0)], "absolute")
    assert (
        good["i_auroc"] is good["p_auroc"] is good["aupro"]["0.3"] is good["aupro_foreground"]["0.01"] is None
    )
    assert good["per_defect"] == {}
    bad = evaluate([outcome("hole", 0, 1.0)], "published")
    assert bad["i_auroc"] is None
    assert bad["per_defect"]["hole"]["i_auroc"] is None
    assert bad["aupro"]["0.3"] is not None
    assert evaluate([], "absolute", seconds=0.0) == evaluate([], "published", seconds=0.0)


def test_a_map_that_is_zero_everywhere_is_not_divided_by_zero() -> None:
    """A frame without a foreground pixel keeps its zeros with both normalisations."""
    blank = np.zeros((224, 224), dtype=np.float32)
    empty = FrameOutcome(blank, 0.0, blank > 0, "good", blank > 0)
    report = evaluate([empty, outcome("hole", 1, 3.0)], "published")
    assert report["i_auroc"] == 1.0


def test_fps_counts_the_time_the_frames_took() -> None:
    """fps includes the time in which the iterable yields the frames."""

    def slow() -> Iterator[FrameOutcome]:
        yield outcome("good", 0, 0.0)
        yield outcome("good", 1, 0.0)

    assert evaluate(slow(), "absolute")["fps"] > 0


@pytest.mark.parametrize("size", [(224, 224), (400, 400), (480, 640), (301, 200), (97, 113)])
def test_ground_truth_lands_on_the_pixels_the_points_were_taken_from(size: tuple[int, int]) -> None:
    """A mask that is written into the points' z and prepared with them equals the resized ground truth."""
    rng = np.random.default_rng(sum(size))
    mask: NDArray[np.bool_] = rng.random(size) < 0.3
    xyz = np.ones((*size, 3), dtype=np.float32)
    xyz[..., 2] += mask
    frames = prepare(
        torch.zeros((1, *size, 3), dtype=torch.uint8),
        torch.from_numpy(xyz)[None],
        BackgroundOptions(method="none"),
    )
    assert np.array_equal(ground_truth_at_map_size(mask), frames.xyz[0, 2].numpy() == 2.0)
