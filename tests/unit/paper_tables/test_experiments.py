"""Which cells a run over a data set has, and which of them an earlier run has done."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cmfm_worker.cfm.metrics.areas import PixelPools, auroc
from cmfm_worker.paper_tables.curves import pro_curve, roc_curve
from cmfm_worker.paper_tables.experiments import Cell, SuiteOptions, plan_cells
from cmfm_worker.paper_tables.store import CellResult, Store
from cmfm_worker.paper_tables.variants import VARIANTS

OPTIONS = SuiteOptions(Path("data"), "mvtec3d", ("bagel", "rope"), "paper")


def test_paper_has_a_cell_for_every_variant_and_category() -> None:
    """Nothing is taught twice, nothing left out; an extractor is loaded once."""
    cells, served = plan_cells(list(VARIANTS.values()), OPTIONS)
    assert len(cells) == 2 * len(VARIANTS)
    assert served == {name: name for name in VARIANTS}
    extractors = [(cell.settings.image, cell.settings.blocks) for cell in cells]
    changes = sum(a != b for a, b in pairwise(extractors))
    assert changes == len(set(extractors)) - 1


def test_epochs_are_the_papers() -> None:
    """250, and 50 for the ablations; what is asked instead of 250 scales both."""
    cells, _ = plan_cells(list(VARIANTS.values()), OPTIONS)
    epochs = {cell.name: cell.settings.epochs for cell in cells}
    assert epochs["ours"] == epochs["ours-t"] == epochs["ours-5-shot"] == 250
    assert epochs["intra-50-epochs"] == epochs["clip-50-epochs"] == 50
    cells, _ = plan_cells(list(VARIANTS.values()), dataclasses.replace(OPTIONS, epochs=10))
    assert {cell.settings.epochs for cell in cells} == {10, 2}


def test_classic_has_what_it_can_have() -> None:
    """No blocks to cut, no other 2D extractor; one cell serves what comes to the same, with the maps of both."""
    cells, served = plan_cells(list(VARIANTS.values()), dataclasses.replace(OPTIONS, preset="classic"))
    assert served["cross-50-epochs"] == "ours"
    assert not {"ours-m", "ours-s", "ours-t", "sam-50-epochs", "clip-50-epochs"} & set(served)
    assert {cell.name for cell in cells} == set(served.values())
    assert all(set(c.aggregations) >= {"2d", "3d", "product"} for c in cells if c.name == "ours")


def one_cell() -> Cell:
    return plan_cells([VARIANTS["ours-t"]], OPTIONS)[0][0]


INPUTS = {"parts": "some", "weights": ["a", "b"], "extractor_version": "1"}
RESULT = CellResult({"metrics": {"product": {"i_auroc": 0.9}}, "fps": 3.0}, {"pictures/a.png": b"png"})


def test_finished_cell_is_taken_over(tmp_path: Path) -> None:
    """What was saved is what is loaded, with its files."""
    store, cell = Store(tmp_path), one_cell()
    assert store.load(cell, INPUTS) is None
    saved = store.save(cell, INPUTS, RESULT)
    assert store.load(cell, INPUTS) == saved
    assert saved["metrics"] == RESULT.figures["metrics"]
    assert (tmp_path / "pictures" / "a.png").read_bytes() == b"png"


def test_other_settings_or_data_are_another_cell(tmp_path: Path) -> None:
    """A kept cell never passes for one taught otherwise, from other parts or weights, by another version of the
    extractor, or without a map that is asked for; what differs is said, and changed parts are told apart from it.
    """
    store, cell = Store(tmp_path), one_cell()
    store.save(cell, INPUTS, RESULT)
    longer = dataclasses.replace(cell, settings=dataclasses.replace(cell.settings, epochs=7))
    assert store.load(longer, INPUTS) is None
    assert store.differences(longer, INPUTS) == ["epochs was 250, is 7"]
    for key, value in {"weights": ["a", "c"], "extractor_version": "2"}.items():
        assert store.load(cell, INPUTS | {key: value}) is None
        assert len(store.differences(cell, INPUTS | {key: value})) == 1
    changed = INPUTS | {"parts": "others"}
    assert store.load(cell, changed) is None
    assert store.outdated(cell, changed)
    assert store.differences(cell, changed) == []
    assert not store.outdated(cell, INPUTS)
    assert store.load(dataclasses.replace(cell, aggregations=("product", "sum")), INPUTS) is None


def test_torn_cell_is_measured_again(tmp_path: Path) -> None:
    """A file that is not whole JSON counts for nothing."""
    store, cell = Store(tmp_path), one_cell()
    store.save(cell, INPUTS, RESULT)
    (path,) = (tmp_path / "cells").rglob("*.json")
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert store.load(cell, INPUTS) is None
    path.write_text(json.dumps([1]))
    assert store.load(cell, INPUTS) is None


def test_thinned_pro_curve_keeps_its_area() -> None:
    """AUPRO read off the picture is the exact one to a third decimal."""
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
    """Ties included: parts of one score pass the threshold together."""
    rng = np.random.default_rng(1)
    labels = rng.random(60) < 0.4
    scores = np.round(rng.normal(labels, 1.0), 1)
    rejected, found = np.array(roc_curve(scores.tolist(), labels.tolist())).T
    assert np.trapezoid(found, rejected) == pytest.approx(auroc(scores, labels), abs=1e-5)
    assert roc_curve([1.0, 2.0], [True, True]) == []
