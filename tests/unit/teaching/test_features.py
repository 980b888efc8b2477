"""The features to teach from: good parts, their variations, and pixels in simulated defects and beside them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cmfm_protocol.files.dataset import list_parts
from cmfm_worker.cfm.classic.extractor import ClassicExtractor
from cmfm_worker.cfm.fit.fit import FitOptions
from cmfm_worker.cfm.fit.metric import MOST_FRAMES_PER_PART
from cmfm_worker.datasets.source import FROM_FILES
from cmfm_worker.teaching.features import TeachFeatures, frames_of
from cmfm_worker.teaching.options import TeachOptions
from cmfm_worker.teaching.workers import Workers

CLASSIC = FitOptions.for_preset("classic")


def extracted(
    root: Path, fit: FitOptions, seed: int = 0
) -> tuple[list[int], list[list[int]], list[list[str]]]:
    """Return the foreground pixels of each part, and the counts and names of each store."""
    parts = list_parts(root, "dome", "train")[:2]
    options = TeachOptions("data", "dome", seed=seed)
    with TeachFeatures("float32") as features:
        taught = features.extract(
            ClassicExtractor(), parts, options, fit, lambda *_: None, FROM_FILES, Workers(None, 1)
        )
        pixels = [part.measures.area_px for part in taught]
        stores = features.stores
        assert features.nominal.own_counts == pytest.approx([px / 4 for px in pixels], rel=0.1)
        return pixels, [list(store.counts) for store in stores], [list(store.names) for store in stores]


def test_every_part_is_kept_with_its_variations_and_defects(taught: tuple[Path, Path]) -> None:
    """The grid's pixels of a part and of each variation, of them those in defects, and every fourth beside them."""
    pixels, (nominal, defective, beside), names = extracted(taught[0], CLASSIC)
    assert len(pixels) == 2
    assert len(nominal) == 2 * (1 + CLASSIC.variations)
    repeats = MOST_FRAMES_PER_PART
    for count in nominal:
        assert count == pytest.approx(pixels[0] / 4, rel=0.1)
    assert len(defective) == len(beside) == 2 * repeats
    assert 0.0025 < sum(defective) / (repeats * sum(pixels)) < 0.125
    assert 0.02 < sum(beside) / (repeats * sum(pixels)) < 1 / 16 + 0.005
    assert set(names[0]) == set(names[1]) == set(names[2])
    assert len(set(names[0])) == 2


def test_only_what_the_fit_options_require_is_kept(taught: tuple[Path, Path]) -> None:
    """Without a metric no defect is simulated; without variations only the parts themselves are kept."""
    pixels, counts, _ = extracted(taught[0], replace(CLASSIC, metric=False, variations=0))
    assert counts[0] == pytest.approx([px / 4 for px in pixels], rel=0.1)
    assert counts[1:] == [[], []]


def test_simulated_defects_follow_the_seed(taught: tuple[Path, Path]) -> None:
    """The same seed marks the same pixels; another seed marks others."""
    first, again, other = (extracted(taught[0], CLASSIC, seed)[1] for seed in (0, 0, 1))
    assert first == again
    assert first[1] != other[1]


@pytest.mark.parametrize(("parts", "most"), [(1, 2), (30, 2), (50, 2), (112, 1), (361, 1)])
def test_many_parts_cost_no_more_frames_than_a_hundred(parts: int, most: int) -> None:
    """Few parts get as many repeats as are wanted; of many, evenly spread ones get one, a hundred in all."""
    times = [frames_of(part, parts, 100, 2) for part in range(parts)]
    assert max(times) == most
    assert sum(times) == min(2 * parts, 100)
    assert all(frames_of(part, parts, 100, 0) == 0 for part in range(parts))
    chosen = [part for part, n in enumerate(times) if n]
    assert max(b - a for a, b in zip([*chosen], [*chosen[1:], parts], strict=True)) <= -(-parts // 100)


def test_features_do_not_depend_on_the_workers(taught: tuple[Path, Path]) -> None:
    """Several threads give the same features in the same order as one."""
    parts, options = list_parts(taught[0], "dome", "train")[:5], TeachOptions("data", "dome", batch=1)
    found = []
    for workers in (Workers(None, 1), Workers(pool := ThreadPoolExecutor(3), 3)):
        with TeachFeatures("float32") as features:
            features.extract(
                ClassicExtractor(), parts, options, CLASSIC, lambda *_: None, FROM_FILES, workers
            )
            found.append([[(n, *s.part(i)) for i, n in enumerate(s.names)] for s in features.stores])
    pool.shutdown()
    for one, other in zip(*found, strict=True):
        assert [name for name, *_ in one] == [name for name, *_ in other]
        assert all(
            torch.equal(a, b)
            for (_, *x), (_, *y) in zip(one, other, strict=True)
            for a, b in zip(x, y, strict=True)
        )
