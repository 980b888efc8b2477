"""One batch through the method: as the line runs it, and stage by stage with a clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cmfm_worker.bench.rates import synchronise
from cmfm_worker.bench.sizes import Sizes
from cmfm_worker.cfm.anomaly_maps import AnomalyMaps, aggregate, anomaly_maps, level_of, scatter_to_maps
from cmfm_worker.cfm.anomaly_score import score
from cmfm_worker.cfm.extractor import Extractor, PixelFeatures
from cmfm_worker.cfm.fast.frame_sizes import FrameSizes
from cmfm_worker.cfm.fast.graphed_prepare import GraphedPrepare
from cmfm_worker.cfm.fast.read_back import ReadBack
from cmfm_worker.cfm.mapping.conv_encoder_decoder import cut_out
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.paper_extractor import PaperExtractor, begin_sampling_from_centres
from cmfm_worker.cfm.pixel_distances import distance_of, pixel_distances
from cmfm_worker.cfm.points.grouping import choose_centres, gather_groups
from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, part_alone, resize
from cmfm_worker.cfm.scoring import Scoring
from cmfm_worker.cfm.token_features import SampledTokens, TokenFeatures, extract
from cmfm_worker.cfm.variants import Distance

TYPICAL_PART_PX = 14_000
"""Foreground pixels of a part, of the 50 176 of a map."""

Watch = Callable[[str], AbstractContextManager[None]]


@dataclass
class Stopwatch:
    """Wall and CPU seconds of each stage in each pass. Waits for the device at both ends of a stage."""

    device: torch.device
    wall_s: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, list[float]] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the body of the `with`."""
        synchronise(self.device)
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        synchronise(self.device)
        self.wall_s.setdefault(stage, []).append(time.perf_counter() - wall)
        self.cpu_s.setdefault(stage, []).append(time.process_time() - cpu)


@dataclass(frozen=True)
class Setup:
    """Everything that a pass needs, except the frames."""

    extractor: Extractor
    mapping: MappingPair
    background: BackgroundOptions
    prepare: GraphedPrepare = field(default_factory=lambda: GraphedPrepare(None))

    @property
    def distance(self) -> Distance:
        """Return the distance of a recipe with such networks."""
        return distance_of(self.mapping)

    @property
    def scoring(self) -> Scoring:
        """Return the scoring of such a recipe."""
        return Scoring.for_preset(self.extractor.identity.preset, TYPICAL_PART_PX)


@torch.inference_mode()
def run(setup: Setup, rgb: Tensor, xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Run a batch as the line does: frames on the host to Ψ and scores on the host."""
    device = setup.extractor.device
    on_device = rgb.to(device, non_blocking=True), xyz.to(device, non_blocking=True)
    psi, scores = begin(setup, *on_device).wait()
    return psi, scores


def begin(setup: Setup, rgb: Tensor, xyz: Tensor) -> ReadBack:
    """Begin a batch: frames on the device to Ψ and scores on their way to the host. Call in inference mode."""
    frames = setup.prepare(rgb, xyz, setup.background)
    features, scoring = extract(setup.extractor, frames), setup.scoring
    maps = anomaly_maps(
        features,
        setup.mapping,
        setup.distance,
        smoothing_px=scoring.smoothing_px,
        continue_map=scoring.continue_map,
    )
    return ReadBack(maps.psi, score(maps.psi, "published", scoring.highest_px))


@torch.inference_mode()
def run_watched(setup: Setup, rgb: Tensor, xyz: Tensor, watch: Watch) -> tuple[AnomalyMaps, Sizes]:
    """Run the same batch stage by stage, and return the maps and the sizes of everything."""
    device = setup.extractor.device
    with watch("resize"):
        rgb_224, xyz_224, valid = resize(rgb.to(device), xyz.to(device))
    with watch("background"):
        plane, foreground, around = part_alone(xyz_224, valid, (xyz.shape[1], xyz.shape[2]), setup.background)
        part = torch.where(foreground[:, None], xyz_224, 0.0)
        frames = PreparedFrames(rgb_224, part, foreground, valid, plane, around, rgb.to(device))
    features = _extract(setup.extractor, frames, watch)
    with watch("mapping"):
        psi_of_pixels = pixel_distances(features, setup.mapping, setup.distance)
    with watch("aggregate"):
        both, scoring = scatter_to_maps(features, *psi_of_pixels), setup.scoring
        psi = aggregate(*both, smoothing_px=scoring.smoothing_px, continue_map=scoring.continue_map)
        maps = AnomalyMaps(*both, psi, level_of(psi, features.mask))
    return maps, _sizes(rgb, xyz, frames, features)


def _extract(extractor: Extractor, frames: PreparedFrames, watch: Watch) -> PixelFeatures | TokenFeatures:
    if isinstance(extractor, PaperExtractor):
        return _extract_tokens(extractor, frames, watch)
    with watch("features"):
        return extract(extractor, frames)


def _extract_tokens(extractor: PaperExtractor, frames: PreparedFrames, watch: Watch) -> TokenFeatures:
    """Run `PaperExtractor.tokens` stage by stage. A test holds both to the same maps."""
    with watch("image"):
        sizes = FrameSizes.of(frames)
        image = extractor.image_tokens(frames, sizes)
    with watch("fps"):
        clouds = extractor.clouds(frames, sizes)
        centres = choose_centres(clouds)
    with watch("knn"):
        groups = gather_groups(clouds, centres, extractor.identity.group_size)
    with watch("pointnet"):
        group_tokens = extractor.point_encoder.mini_pointnet(groups.offsets.flatten(0, 1))
    with watch("transformer"):
        tokens = extractor.point_encoder.transform(group_tokens, centres).flatten(0, 1)
    with watch("sampling"):
        sampling = begin_sampling_from_centres(frames.foreground, sizes, clouds, centres).finish()
    return TokenFeatures(image, SampledTokens(tokens, sampling), sizes.mask)


def _sizes(
    rgb: Tensor, xyz: Tensor, frames: PreparedFrames, features: PixelFeatures | TokenFeatures
) -> Sizes:
    image_tokens = entries = 0
    if isinstance(features, TokenFeatures):
        image_tokens = len(features.image.tokens)
        entries = len(features.image.sampling.token) + len(features.points.sampling.token)
    return Sizes(
        frames=len(rgb),
        input_bytes=rgb.nbytes + xyz.nbytes,
        points=int(frames.foreground.sum()),
        pixels=int(features.mask.sum()),
        image_tokens=image_tokens,
        entries=entries,
        map_pixels=sum(_area(inside) for inside in features.mask),
    )


def _area(inside: Tensor) -> int:
    """Return the pixels of the rectangle of one frame that convolutions need."""
    return inside[cut_out(inside)].numel() if inside.any() else 0
