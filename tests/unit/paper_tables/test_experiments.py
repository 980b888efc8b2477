"""The experiments of a run over a data set, and those that an earlier run has finished."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cmfm_worker.cfm.metrics.areas import PixelPools, auroc
from cmfm_worker.paper_tables.curves import pro_curve, roc_curve
from cmfm_worker.paper_tables.experiments import Experiment, RunOptions, plan_experiments
from cmfm_worker.paper_tables.store import ExperimentResult, Store
from cmfm_worker.paper_tables.variants import VARIANTS

OPTIONS = RunOptions(Path("data"), "mvtec3d", ("bagel", "rope"), "paper")


def test_paper_has_an_experiment_for_every_variant_and_category() -> None:
    """No experiment is missing or repeated, and each extractor is loaded once."""
    experiments, served = plan_experiments(list(VARIANTS.values()), OPTIONS)
    assert len(experiments) == 2 * len(VARIANTS)
    assert served == {name: name for name in VARIANTS}
    extractors = [(experiment.settings.image, experiment.settings.blocks) for experiment in experiments]
    changes = sum(a != b for a, b in pairwise(extractors))
    assert changes == len(set(extractors)) - 1


def test_epochs_are_the_papers() -> None:
    """They are 250, and 50 for the ablations; another number instead of 250 scales both."""
    experiments, _ = plan_experiments(list(VARIANTS.values()), OPTIONS)
    epochs = {experiment.name: experiment.settings.epochs for experiment in experiments}
    assert epochs["ours"] == epochs["ours-t"] == epochs["ours-5-shot"] == 250
    assert epochs["intra-50-epochs"] == epochs["clip-50-epochs"] == 50
    experiments, _ = plan_experiments(list(VARIANTS.values()), dataclasses.replace(OPTIONS, epochs=10))
    assert {experiment.settings.epochs for experiment in experiments} == {10, 2}


def test_classic_has_only_the_variants_that_suit_it() -> None:
    """`classic` has no blocks to cut and no other 2D extractor; variants with equal settings share one experiment."""
    experiments, served = plan_experiments(
        list(VARIANTS.values()), dataclasses.replace(OPTIONS, preset="classic")
    )
    assert served["cross-50-epochs"] == "ours"
    assert not {"ours-m", "ours-s", "ours-t", "sam-50-epochs", "clip-50-epochs"} & set(served)
    assert {experiment.name for experiment in experiments} == set(served.values())
    assert all(set(c.aggregations) >= {"2d", "3d", "product"} for c in experiments if c.name == "ours")


def one_experiment() -> Experiment:
    return plan_experiments([VARIANTS["ours-t"]], OPTIONS)[0][0]


INPUTS = {"parts": "some", "weights": ["a", "b"], "extractor_version": "1"}
RESULT = ExperimentResult({"metrics": {"product": {"i_auroc": 0.9}}, "fps": 3.0}, {"pictures/a.png": b"png"})


def test_finished_experiment_is_loaded(tmp_path: Path) -> None:
    """A saved experiment is loaded the same, with its files."""
    store, experiment = Store(tmp_path), one_experiment()
    assert store.load(experiment, INPUTS) is None
    saved = store.save(experiment, INPUTS, RESULT)
    assert store.load(experiment, INPUTS) == saved
    assert saved["metrics"] == RESULT.figures["metrics"]
    assert (tmp_path / "pictures" / "a.png").read_bytes() == b"png"


def test_other_settings_or_data_are_another_experiment(tmp_path: Path) -> None:
    """A stored experiment is not used for other settings, parts or weights, another version of the extractor, or if it
    lacks a map. Differences of settings are named; changed parts only make it outdated.
    """
    store, experiment = Store(tmp_path), one_experiment()
    store.save(experiment, INPUTS, RESULT)
    longer = dataclasses.replace(experiment, settings=dataclasses.replace(experiment.settings, epochs=7))
    assert store.load(longer, INPUTS) is None
    assert store.differences(longer, INPUTS) == ["epochs was 250, is 7"]
    for key, value in {"weights": ["a", "c"], "extractor_version": "2"}.items():
        assert store.load(experiment, INPUTS | {key: value}) is None
        assert len(store.differences(experiment, INPUTS | {key: value})) == 1
    changed = INPUTS | {"parts": "others"}
    assert store.load(experiment, changed) is None
    assert store.outdated(experiment, changed)
    assert store.differences(experiment, changed) == []
    assert not store.outdated(experiment, INPUTS)
    assert store.load(dataclasses.replace(experiment, aggregations=("product", "sum")), INPUTS) is None


def test_damaged_experiment_runs_again(tmp_path: Path) -> None:
    """A file that is not valid JSON is ignored."""
    store, experiment = Store(tmp_path), one_experiment()
    store.save(experiment, INPUTS, RESULT)
    (path,) = (tmp_path / "experiments").rglob("*.json")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert store.load(experiment, INPUTS) is None
    path.write_text(json.dumps([1]))
    assert store.load(experiment, INPUTS) is None


def test_sampled_pro_curve_keeps_its_area() -> None:
    """The AUPRO of the sampled curve equals the exact one to three decimals."""
    rng = np.random.default_rng(0)
    gts = [np.zeros((64, 64), bool) for _ in range(6)]
    for i, gt in enumerate(gts[:4]):
        gt[8 * i : 8 * i + 6, 10:22] = True
    maps = [rng.random((64, 64)) + 0.7 * gt for gt in gts]
    fpr, pro = np.array(pro_curve(maps, gts)).T
    for limit in (0.3, 0.05):
        inside = fpr <= limit
        area = np.trapezoid(pro[inside], fpr[inside]) / limit
        assert area == pytest.approx(PixelPools(maps, gts).aupro_exact([limit])[0], abs=2e-3)


def test_roc_curve_has_the_area_of_auroc() -> None:
    """The area equals AUROC, also with ties: parts with one score pass the threshold together."""
    rng = np.random.default_rng(1)
    labels = rng.random(60) < 0.4
    scores = np.round(rng.normal(labels, 1.0), 1)
    rejected, found = np.array(roc_curve(scores.tolist(), labels.tolist())).T
    assert np.trapezoid(found, rejected) == pytest.approx(auroc(scores, labels), abs=1e-5)
    assert roc_curve([1.0, 2.0], [True, True]) == []
