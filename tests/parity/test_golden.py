"""The golden vectors: every variant of the `paper` preset gives the expected numbers (docs/method.md, golden
vectors).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cmfm_worker.cfm.anomaly_maps import anomaly_maps
from cmfm_worker.cfm.anomaly_score import score
from cmfm_worker.cfm.fast.precision import Precision, why_not
from cmfm_worker.cfm.mapping.files import load_published
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.points.interpolation import bilinear_sampling
from cmfm_worker.cfm.token_features import TokenFeatures

from .golden import NAMES, GoldenFrame, relative_l2

TOLERANCE = 1e-3
TOLERANCE_OF_HALF_PRECISION = 3e-2
MAPS = ("psi_2d", "psi_3d", "psi")


def pixel_rows(
    extractor: PaperExtractor, golden: GoldenFrame, found: TokenFeatures
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of the dense feature maps in the form of the vectors: E_2D everywhere, E_3D 0 outside the mask."""
    rows = torch.arange(0, 224 * 224, int(golden.expected["row_step"]))
    e2d = bilinear_sampling(torch.ones_like(found.mask))(extractor.image_encoder(golden.frames.rgb))
    e3d = torch.zeros(224 * 224, found.d3)
    e3d[found.mask.flatten()] = found.at_pixels().e3d
    return e2d[rows], e3d[rows]


@pytest.mark.parametrize("name", NAMES)
def test_golden_vector(
    name: str, golden: Callable[[str], GoldenFrame], extractor: Callable[[int, int], PaperExtractor]
) -> None:
    """Features, the three maps and the score of a golden frame are within a relative 1e-3 at every stage."""
    vector = golden(name)
    extract = extractor(vector.blocks, vector.group_size)
    found = extract.tokens(vector.frames)
    mapping = load_published(vector.mapping_2d3d, vector.mapping_3d2d, d2=768, d3=found.d3)
    maps = anomaly_maps(found, mapping)
    e2d_rows, e3d_rows = pixel_rows(extract, vector, found)
    stages = {
        "e2d_rows": e2d_rows,
        "e3d_rows": e3d_rows,
        "psi_2d": maps.psi_2d[0],
        "psi_3d": maps.psi_3d[0],
        "psi": maps.psi[0],
        "score": score(maps.psi, "published")[0],
    }
    errors = {stage: relative_l2(value, vector.expected[stage]) for stage, value in stages.items()}
    assert max(errors.values()) <= TOLERANCE, errors
    assert ((maps.psi_2d[0] != 0).numpy() == (vector.expected["psi_2d"] != 0)).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16", "int8"])
def test_half_precision_meets_its_own_tolerance(
    precision: Precision, golden: Callable[[str], GoldenFrame], seeded_weights: Path
) -> None:
    """If the device offers a shorter format, maps and score of a whole model are within 3 %."""
    reason = why_not(precision, torch.device("cpu"))
    if reason is not None:
        pytest.skip(reason)
    vector = golden("dev_l12_g128_102_hole")
    extract = PaperExtractor(seeded_weights, vector.blocks, vector.group_size, precision=precision)
    mapping = replace(load_published(vector.mapping_2d3d, vector.mapping_3d2d), precision=precision)
    maps = anomaly_maps(extract.tokens(vector.frames), mapping)
    errors = {name: relative_l2(getattr(maps, name)[0], vector.expected[name]) for name in MAPS}
    errors["score"] = relative_l2(score(maps.psi, "published")[0], vector.expected["score"])
    assert 1e-4 < max(errors.values()) <= TOLERANCE_OF_HALF_PRECISION, errors
