"""Scores of the training parts by networks that were not fitted on them.

Parts that were fitted on score lower than new ones. So the training parts are divided into folds, and each fold is
scored by networks that were fitted on the others. Such networks have seen fewer parts and were fitted for a shorter
time, so their scores are higher than those of the recipe's own networks; by how much is seen on the validation parts,
which neither has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from math import ceil
from statistics import median
from threading import Lock
from typing import Final

import numpy as np
import torch

from cmfm_worker.cfm.anomaly_maps import anomaly_maps
from cmfm_worker.cfm.anomaly_score import score
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.fit import FitOptions, fit_mapping
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.recipes.sections import ScoreSection
from cmfm_worker.teaching.workers import Workers

FOLDS: Final = 3
"""Each fold is scored by networks that were fitted on two thirds of the training parts."""

LEAST_PARTS: Final = 12
"""Of fewer training parts two thirds teach too little."""

EPOCHS_SHARE: Final = 1 / 3
"""Share of the fit's epochs that networks of a fold are fitted for: all folds together cost less than the fit."""

LEAST_STEPS: Final = 500
"""Networks of a fold are fitted for so many steps, if the fit itself is. A few dozen parts are learned by heart, and a
shorter fit would hide how much higher an unusual part then scores.
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Score and level of a part by the networks `mapping`, before the score is divided by the level."""

    name: str
    score: float
    level: float
    mapping: MappingPair

    def scaled(self, ratio: Ratio) -> Measured:
        """Return both multiplied by a ratio."""
        return replace(self, score=self.score * ratio.score, level=self.level * ratio.level)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How scores and levels of the recipe's own networks compare with those of a fold's."""

    score: float
    level: float


@dataclass(frozen=True, slots=True)
class Fold:
    """A fold of the training parts, by name, and the networks that are being fitted on all others."""

    names: frozenset[str]
    mapping: Future[MappingPair]


def begin_folds(
    train: FeatureStore,
    options: FitOptions,
    progress: ReportProgress,
    workers: Workers,
    device: torch.device,
) -> list[Fold]:
    """Begin to fit the networks of every fold. Reports the stage "folds".

    With fewer than `LEAST_PARTS` parts there is no fold.
    """
    names = list(dict.fromkeys(train.names))
    if len(names) < LEAST_PARTS:
        return []
    order = np.random.default_rng(options.seed).permutation(len(names))
    quick = replace(options, epochs=epochs_of_a_fold(options, len(train) * (FOLDS - 1) // FOLDS))
    folds, done, lock = list[Fold](), [0] * FOLDS, Lock()

    def fitted(fold: int, others: FeatureStore) -> MappingPair:
        def report(epoch: int, total: int, *_: float) -> None:
            workers.require_running()
            with lock:
                done[fold] = epoch
                progress("folds", sum(done), FOLDS * total)

        return fit_mapping(others, quick, report, device)[0]

    for fold in range(FOLDS):
        out = frozenset(names[i] for i in order[fold::FOLDS].tolist())
        others = train.subset([name not in out for name in train.names])
        folds.append(Fold(out, workers.submit(fitted, fold, others)))
    return folds


def out_of_fold(
    folds: Sequence[Fold],
    train: FeatureStore,
    validation: FeatureStore,
    mapping: MappingPair,
    how: ScoreSection,
) -> list[Measured]:
    """Measure every training part out of fold, on the scale of the recipe's own networks `mapping`.

    `how` is the recipe's score, without a level range. Waits for the folds' networks. The result is empty without
    folds.
    """
    own, found = measure(validation, mapping, how) if folds else [], dict[str, Measured]()
    for fold in folds:
        fitted = replace(fold.mapping.result(), metric=mapping.metric)
        ratio = _ratio(own, measure(validation, fitted, how))
        left_out = train.subset(
            [
                name in fold.names and not varied
                for name, varied in zip(train.names, train.varied, strict=True)
            ]
        )
        found |= {part.name: part.scaled(ratio) for part in measure(left_out, fitted, how)}
    return [found[name] for name in dict.fromkeys(train.names) if folds]


def epochs_of_a_fold(options: FitOptions, parts: int) -> int:
    """Return the epochs of a fit on `parts` parts and variations of the other folds."""
    share = max(1, round(EPOCHS_SHARE * options.epochs))
    if options.pixels_per_image is None:  # whole maps take many times as long
        return share
    steps_an_epoch = ceil(parts / options.batch_images)
    return max(share, min(options.epochs, ceil(LEAST_STEPS / steps_an_epoch)))


@torch.no_grad()
def measure(store: FeatureStore, mapping: MappingPair, how: ScoreSection) -> list[Measured]:
    """Measure every part of a store as the line does from its features on."""
    device = next(mapping.to_3d.parameters()).device
    measured = []
    for i, name in enumerate(store.names):
        e2d, e3d = (E.to(device) for E in store.part(i))
        features = PixelFeatures(
            e2d, e3d, store.mask(i).to(device), store.context, store.wide, grid_px=store.grid_px
        )
        maps = anomaly_maps(
            features,
            mapping,
            how.distance,
            how.aggregation,
            how.smoothing_px,
            continue_map=how.continue_map,
        )
        of_part = score(maps.psi, how.normalisation, how.highest_px)
        measured.append(Measured(name, float(of_part[0]), float(maps.level[0]), mapping))
    return measured


def _ratio(own: Sequence[Measured], folds: Sequence[Measured]) -> Ratio:
    """Return the median ratio of scores and of levels: those of the recipe's networks over those of a fold's."""
    pairs = [(a, b) for a, b in zip(own, folds, strict=True) if b.score > 0 and b.level > 0]
    if not pairs:
        return Ratio(1.0, 1.0)
    return Ratio(median(a.score / b.score for a, b in pairs), median(a.level / b.level for a, b in pairs))
