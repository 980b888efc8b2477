"""The fast path against the literal twin, with a far smaller tolerance than the golden one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cmfm_worker.cfm.anomaly_maps import anomaly_maps
from cmfm_worker.cfm.anomaly_score import score
from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.mapping.files import load_published
from cmfm_worker.cfm.paper_extractor import PaperExtractor
from cmfm_worker.cfm.points.grouping import farthest_points
from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, prepare

from . import literal
from .golden import GoldenFrame, relative_l2

TOLERANCE = 1e-4
BORDER_SHIFT_PX = 90


def literal_weights(folder: Path, golden: GoldenFrame) -> literal.Weights:
    """The published files as they are."""

    def read(path: Path) -> dict[str, torch.Tensor]:
        state = torch.load(path, weights_only=True, mmap=True)
        return dict(state.get("base_model", state))

    point_mae = read(folder / "pointmae_pretrain.pth")
    return literal.Weights(
        dino=read(folder / "dino_vitbase8_pretrain.pth"),
        point_mae={key.removeprefix("module.MAE_encoder."): value for key, value in point_mae.items()},
        map_2d3d=read(golden.mapping_2d3d),
        map_3d2d=read(golden.mapping_3d2d),
    )


def shifted(golden: GoldenFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """The frame with its part moved over the image border, where smoothing and resizing differ."""
    offset = (BORDER_SHIFT_PX, -BORDER_SHIFT_PX)
    return golden.rgb.roll(offset, (0, 1)), golden.xyz.roll(offset, (0, 1))


def dense_features(features: PixelFeatures) -> tuple[torch.Tensor, torch.Tensor]:
    """(224, 224, C) maps of a batch of one, zero outside the mask."""
    dense = [torch.zeros(*features.mask.shape[1:], rows.shape[1]) for rows in (features.e2d, features.e3d)]
    for plane, rows in zip(dense, (features.e2d, features.e3d), strict=True):
        plane[features.mask[0]] = rows
    return dense[0], dense[1]


def errors_against_twin(
    golden: GoldenFrame, batch: PreparedFrames, twin: literal.LiteralMaps, extractor: PaperExtractor
) -> dict[str, float]:
    """Relative L2 of every stage; of E_2D inside the mask only, where the fast path computes it."""
    features = extractor.tokens(batch)
    maps = anomaly_maps(features, load_published(golden.mapping_2d3d, golden.mapping_3d2d))
    e2d, e3d = dense_features(features.at_pixels())
    return {
        "e2d": relative_l2(e2d, twin.e2d * features.mask[0, ..., None]),
        "e3d": relative_l2(e3d, twin.e3d),
        "psi_2d": relative_l2(maps.psi_2d[0], twin.psi_2d),
        "psi_3d": relative_l2(maps.psi_3d[0], twin.psi_3d),
        "psi": relative_l2(maps.psi[0], twin.psi),
        "score": relative_l2(score(maps.psi, "published")[0], twin.score),
    }


@pytest.mark.parametrize(("group_size", "at_border"), [(128, False), (32, True)])
def test_fast_path_equals_literal_twin(
    group_size: int,
    at_border: bool,
    golden: Callable[[str], GoldenFrame],
    extractor: Callable[[int, int], PaperExtractor],
    seeded_weights: Path,
) -> None:
    """With one block every stage agrees to 1e-4, also where the part touches the image border."""
    vector = golden("dev_l1_g128_104_both")
    rgb, xyz = shifted(vector) if at_border else (vector.rgb, vector.xyz)
    twin = literal.run(rgb, xyz, literal_weights(seeded_weights, vector), blocks=1, group_size=group_size)
    batch = prepare(rgb[None], xyz[None], BackgroundOptions(method="none"))
    errors = errors_against_twin(vector, batch, twin, extractor(1, group_size))
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.long
@pytest.mark.timeout(600)
def test_full_fast_path_equals_literal_twin(
    golden: Callable[[str], GoldenFrame],
    extractor: Callable[[int, int], PaperExtractor],
    seeded_weights: Path,
) -> None:
    """The same holds with all twelve blocks."""
    vector = golden("dev_l12_g128_104_both")
    twin = literal.run(
        vector.rgb, vector.xyz, literal_weights(seeded_weights, vector), blocks=12, group_size=128
    )
    errors = errors_against_twin(vector, vector.frames, twin, extractor(12, 128))
    assert max(errors.values()) <= TOLERANCE, errors


def test_batch_equals_its_frames_one_by_one(
    golden: Callable[[str], GoldenFrame], extractor: Callable[[int, int], PaperExtractor]
) -> None:
    """Frames with different numbers of points have the same maps in one batch as alone."""
    vectors = [golden(name) for name in ("dev_l12_g128_102_hole", "dev_l1_g128_104_both")]
    mapping = load_published(vectors[1].mapping_2d3d, vectors[1].mapping_3d2d)
    extract = extractor(1, 32)
    together = prepare(
        torch.stack([v.rgb for v in vectors]),
        torch.stack([v.xyz for v in vectors]),
        BackgroundOptions(method="none"),
    )
    features = extract.tokens(together)
    assert len(set(features.at_pixels().counts)) == 2
    maps = anomaly_maps(features, mapping)
    picked = anomaly_maps(features.select([1]), mapping)
    assert torch.equal(picked.psi[0], maps.psi[1])
    for i, vector in enumerate(vectors):
        alone = anomaly_maps(extract.tokens(vector.frames), mapping)
        assert relative_l2(maps.psi_2d[i], alone.psi_2d[0]) <= 1e-5
        assert relative_l2(maps.psi[i], alone.psi[0]) <= 1e-5


@pytest.mark.parametrize("name", ["dev_l12_g128_101_good", "dev_l12_g128_103_stain"])
def test_farthest_points_equal_the_twin(name: str, golden: Callable[[str], GoldenFrame]) -> None:
    """On a cloud of real size the fast sampling chooses the same points in the same order."""
    xyz = golden(name).xyz
    points = xyz[(xyz != 0).any(-1)]
    assert torch.equal(farthest_points(points, 1024), literal.farthest_points(points, 1024))
