"""Scores of training parts by networks that have not seen them, and the limits that follow from all nominal parts."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import numpy as np
import pytest
import torch

from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.fit import FitOptions, fit_mapping
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.errors import InputError
from cmfm_worker.recipes.sections import ScoreSection
from cmfm_worker.teaching.limits import Wanted, level_range_from, over_level, require_enough, threshold_from
from cmfm_worker.teaching.out_of_fold import (
    FOLDS,
    LEAST_PARTS,
    Measured,
    begin_folds,
    epochs_of_a_fold,
    measure,
    out_of_fold,
)
from cmfm_worker.teaching.workers import Workers

HOW = ScoreSection(distance="standardised", smoothing_px=2.5, highest_px=20, continue_map=True)
OPTIONS = replace(
    FitOptions.for_preset("classic"),
    epochs=18,
    batch_images=2,
    pixels_per_image=200,
    hidden=16,
    metric=False,
)


def store(parts: int, *, first: int = 0, odd: int | None = None) -> FeatureStore:
    """Parts of 20×20 grid pixels whose 2D features follow from their 3D ones; those of part `odd` do not."""
    features = FeatureStore()
    mask = torch.zeros(1, 224, 224, dtype=torch.bool)
    mask[:, 60:100:2, 60:100:2] = True
    for i in range(parts):
        generator = torch.Generator().manual_seed(first + i)
        shape = torch.randn(400, 6, generator=generator)
        colour = torch.cat([shape[:, :4].tanh(), shape[:, 4:].sin()], dim=1)
        colour += 0.1 * torch.randn(400, 6, generator=generator)
        if i == odd:
            colour[:60] = -2 * colour[:60]
        features.add(PixelFeatures(colour, shape, mask, grid_px=2), [f"part-{first + i}"])
    return features


def by_folds(
    train: FeatureStore,
    validation: FeatureStore,
    mapping: MappingPair,
    progress: ReportProgress = lambda *_: None,
) -> list[Measured]:
    """Fit the folds in this thread and measure the training parts by them."""
    folds = begin_folds(train, OPTIONS, progress, Workers(None, 1), torch.device("cpu"))
    return out_of_fold(folds, train, validation, mapping, HOW)


def test_a_part_that_was_fitted_on_is_scored_by_networks_that_were_not() -> None:
    """An odd training part stands out among the others, and every part is scored once."""
    train, validation = store(LEAST_PARTS, odd=3), store(4, first=100)
    mapping, _ = fit_mapping(train, OPTIONS)
    stages = list[tuple[str, int, int]]()
    found = by_folds(train, validation, mapping, lambda *seen: stages.append(seen))
    assert [part.name for part in found] == [f"part-{i}" for i in range(LEAST_PARTS)]
    scores = [part.score for part in found]
    assert int(np.argmax(scores)) == 3
    assert scores[3] > 1.2 * sorted(scores)[-2]
    assert {stage for stage, _, _ in stages} == {"folds"}
    assert stages[-1][1] == stages[-1][2]


def test_scores_out_of_fold_are_on_the_scale_of_the_recipe_s_networks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ordinary training parts score about what validation parts score, though their networks were fitted for less."""
    monkeypatch.setattr("cmfm_worker.teaching.out_of_fold.LEAST_STEPS", 1)
    train, validation = store(LEAST_PARTS), store(8, first=100)
    mapping, _ = fit_mapping(train, OPTIONS)
    found = by_folds(train, validation, mapping)
    own = measure(validation, mapping, HOW)
    assert median(part.score for part in found) == pytest.approx(median(p.score for p in own), rel=0.08)
    assert median(part.level for part in found) == pytest.approx(median(p.level for p in own), rel=0.08)


def test_networks_of_a_few_parts_are_fitted_as_long_as_the_recipe_s() -> None:
    """A few dozen parts are learned by heart in a short fit, too, but hundreds take a third of the epochs."""
    seen = list[tuple[str, int, int]]()
    mapping, _ = fit_mapping(store(LEAST_PARTS), OPTIONS)
    by_folds(store(LEAST_PARTS), store(2, first=100), mapping, lambda *each: seen.append(each))
    assert {total for _, _, total in seen} == {FOLDS * OPTIONS.epochs}
    quick = replace(OPTIONS, epochs=120, batch_images=12)
    assert epochs_of_a_fold(quick, 48) == 120
    assert epochs_of_a_fold(quick, 100) == 56  # 500 steps
    assert epochs_of_a_fold(quick, 400) == 40
    assert epochs_of_a_fold(replace(quick, pixels_per_image=None), 12) == 40


def test_few_parts_are_not_divided() -> None:
    """Two thirds of a few parts teach too little: the validation parts decide alone."""
    train = store(LEAST_PARTS - 1)
    mapping, _ = fit_mapping(train, OPTIONS)
    assert by_folds(train, store(2, first=100), mapping) == []


def test_a_threshold_by_the_tail_is_for_one_part_in_twenty_and_uses_all_nominal_parts() -> None:
    """5 % unless another rate is asked for; the recipe keeps every score and the rate's interval."""
    generator = np.random.default_rng(0)
    validation, folds = (generator.normal(1.5, 0.2, n).tolist() for n in (20, 180))
    found = threshold_from(validation, Wanted(method="tail"), out_of_fold=folds)
    assert (found.method, found.target_false_reject_rate) == ("tail", 0.05)
    assert found.fail_at == pytest.approx(1.5 + 1.645 * 0.2, rel=0.05)
    assert found.validation_scores == tuple(validation)
    assert found.out_of_fold_scores == tuple(folds)
    assert found.rate_interval is not None
    assert found.rate_interval[0] < 0.05 < found.rate_interval[1]
    stricter = threshold_from(validation, Wanted(0.01, method="tail"), out_of_fold=folds)
    assert stricter.fail_at > found.fail_at


def test_a_rate_far_beyond_the_scores_is_refused_and_few_scores_are_conformal() -> None:
    """The message says which rate is supported; five scores have no tail."""
    with pytest.raises(InputError, match=r"100 nominal parts support no rate below 0\.001"):
        require_enough(100, 0.0005, "tail")
    require_enough(100, 0.001, "tail")
    with pytest.raises(InputError, match="needs 19 nominal"):
        require_enough(5, 0.05, "tail")
    few = threshold_from([1.0, 1.1, 1.2, 1.3, 1.4], Wanted(method="tail"))
    assert (few.method, few.rate_interval) == ("conformal", None)
    assert few.target_false_reject_rate == pytest.approx(1 / 6)


def test_a_score_is_divided_by_its_part_s_level_within_the_nominal_range() -> None:
    """A level outside the middle eight tenths of nominal levels is held at their ends; a level of 0 divides nothing."""
    levels = level_range_from(np.linspace(0.8, 1.2, 101).tolist())
    assert levels == pytest.approx((0.84, 1.16))
    assert over_level(2.0, 1.0, levels) == 2.0
    assert over_level(2.0, 5.0, levels) == pytest.approx(2.0 / 1.16)
    assert over_level(2.0, 0.1, levels) == pytest.approx(2.0 / 0.84)
    assert level_range_from([0.0, 0.0, 1.0]) is None
    assert over_level(2.0, 5.0, None) == 2.0
