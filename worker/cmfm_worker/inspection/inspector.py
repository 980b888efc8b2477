"""One batch through the method: prepare → extract → map → aggregate → score.

The running line, `inspect`, `evaluate` and the validation in `fit` all use this code path. A frame that cannot be
inspected is reported as a `Problem`; it neither raises nor changes the results of other frames in the batch.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.cfm.anomaly_maps import anomaly_maps
from cmfm_worker.cfm.anomaly_score import compressed, score
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.fast.frame_sizes import FrameSizes
from cmfm_worker.cfm.fast.graphed_prepare import GraphedPrepare
from cmfm_worker.cfm.fast.graphs import GraphRecorder
from cmfm_worker.cfm.fast.precision import Precision
from cmfm_worker.cfm.fast.read_back import ReadBack, on_device
from cmfm_worker.cfm.prepare import COMPUTED, BackgroundOptions, PreparedFrames
from cmfm_worker.cfm.token_features import TokenExtractor, extract
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.result import InspectedBatch, Problem
from cmfm_worker.recipes.extractors import extractor_of, require_match
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import Recipe


class Inspector:
    """Inspects batches with one extractor. Recipes that were taught on that extractor may be mixed in a batch.

    With `graphs` frames are prepared by CUDA graphs. The result of `inspect` is then valid only until its next call
    on the same stream: call `parts` or `start_read_back` before.
    """

    def __init__(self, extractor: Extractor, graphs: GraphRecorder | None = None) -> None:
        self.extractor = extractor
        self._prepare = GraphedPrepare(graphs)

    def require_match(self, recipe: Recipe) -> None:
        """Raise InputError if a recipe was taught on another extractor, or its feature widths differ."""
        require_match(recipe, self.extractor.identity)
        for key in ("d2", "d3"):
            taught, here = getattr(recipe.mapping, key), getattr(self.extractor, key)
            if taught != here:
                raise InputError(
                    f"recipe {recipe.name!r}: mapping.{key} is {taught}, features have width {here}"
                )

    @torch.no_grad()
    def inspect(
        self,
        rgb: Tensor,
        xyz: Tensor,
        models: Sequence[LoadedModel],
        refused: Sequence[Problem | None] | None = None,
    ) -> InspectedBatch:
        """Inspect B frames of one size, each with its model.

        A frame with a problem in `refused` is prepared, for its picture, and not inspected. `rgb` (B, H, W, 3) uint8
        and `xyz` (B, H, W, 3) float32 metres are on the extractor's device. Raises ValueError for other shapes or
        dtypes (intake and file readers have checked them).
        """
        backgrounds = [model.recipe.background.options() for model in models]
        return self.inspect_prepared(prepare_mixed(rgb, xyz, backgrounds, self._prepare), models, refused)

    @torch.no_grad()
    def inspect_prepared(
        self,
        frames: PreparedFrames,
        models: Sequence[LoadedModel],
        refused: Sequence[Problem | None] | None = None,
    ) -> InspectedBatch:
        """Inspect B prepared frames, each with its model. Their background has been removed already.

        The frames are on the extractor's device.
        """
        sizes = FrameSizes.of(frames) if isinstance(self.extractor, TokenExtractor) else None
        least = self.extractor.min_points
        problems = find_problems(frames, least) if sizes is None else problems_of(sizes, least)
        if refused is not None:
            problems = tuple(first or found for first, found in zip(refused, problems, strict=True))
        sound = [i for i, problem in enumerate(problems) if problem is None]
        psi_2d, psi_3d, psi = (frames.xyz.new_zeros(frames.foreground.shape) for _ in range(3))
        scores, levels = frames.xyz.new_full((2, len(models)), torch.nan)
        if sound:
            chosen = frames
            if len(sound) < len(models):
                chosen = select_frames(frames, sound)
                sizes = None if sizes is None else sizes.select(sound)
            features = extract(self.extractor, chosen, sizes)
            for model, places in _by_model([models[i] for i in sound]).items():
                mine = features if len(places) == len(sound) else features.select(places)
                how = model.recipe.score
                maps = anomaly_maps(
                    mine,
                    model.mapping,
                    how.distance,
                    how.aggregation,
                    how.smoothing_px,
                    continue_map=how.continue_map,
                    level_range=how.level_range,
                )
                psi_of, scores_of = maps.psi, score(maps.psi, how.normalisation, how.highest_px)
                if how.compress_from is not None:
                    psi_of = compressed(psi_of, scores_of, how.compress_from)
                at = on_device([sound[place] for place in places], psi.device)
                psi_2d[at], psi_3d[at], psi[at] = maps.psi_2d, maps.psi_3d, psi_of
                scores[at] = scores_of
                levels[at] = maps.level
        peak_px, peak_xyz_m = _peaks(psi, frames)
        return InspectedBatch(
            psi=psi,
            psi_2d=psi_2d,
            psi_3d=psi_3d,
            rgb=(frames.rgb.permute(0, 2, 3, 1) * 255).round().byte(),  # B C H W -> B H W C
            xyz=frames.xyz,
            foreground=frames.foreground,
            valid=frames.valid,
            surroundings=frames.surroundings,
            score=scores,
            level=levels,
            coverage=_coverage(frames, models),
            peak_px=peak_px,
            peak_xyz_m=peak_xyz_m,
            problems=problems,
        )


class BuildExtractor(Protocol):
    """Builds the extractor of a recipe; `recipes.extractors.extractor_of` is the one in use."""

    def __call__(
        self,
        recipe: Recipe,
        weights: Path | None,
        device: torch.device,
        precision: Precision = "fp32",
        graphs: GraphRecorder | None = None,
    ) -> Extractor:
        """Raises InputError if the weights are not the recipe's."""
        ...


def inspector_maker(
    weights: Path | None,
    device: torch.device,
    precision: Precision = "fp32",
    graphs: GraphRecorder | None = None,
    build: BuildExtractor = extractor_of,
) -> Callable[[Recipe], Inspector]:
    """Return the function that builds the inspector of a recipe: its extractor on `device`, checked against it.

    The function raises InputError if the weights in the folder `weights` are not the recipe's.
    """
    return lambda recipe: Inspector(build(recipe, weights, device, precision, graphs), graphs)


def prepare_mixed(
    rgb: Tensor,
    xyz: Tensor,
    backgrounds: Sequence[BackgroundOptions],
    prepare: Callable[[Tensor, Tensor, BackgroundOptions], PreparedFrames],
) -> PreparedFrames:
    """Prepare frames whose recipes may differ in their background options; keeps their order."""
    places: dict[BackgroundOptions, list[int]] = {}
    for i, background in enumerate(backgrounds):
        places.setdefault(background, []).append(i)
    if len(places) == 1:
        return prepare(rgb, xyz, backgrounds[0])
    groups = []
    for background, at in places.items():
        here = on_device(at, rgb.device)
        groups.append(prepare(rgb[here], xyz[here], background))
    order = [i for at in places.values() for i in at]
    back = on_device(order, rgb.device).argsort()
    joined = {name: torch.cat([getattr(group, name) for group in groups])[back] for name in COMPUTED}
    return PreparedFrames(**joined, picture=rgb)


def select_frames(frames: PreparedFrames, places: Sequence[int]) -> PreparedFrames:
    """Return the frames of a prepared batch at `places`."""
    return frames.at(on_device(list(places), frames.rgb.device))


def find_problems(frames: PreparedFrames, min_points: int) -> tuple[Problem | None, ...]:
    """Return the problem of each frame that cannot be inspected, else None. Waits for the frames' sizes."""
    counts = torch.stack([frames.valid.flatten(1).sum(1), frames.foreground.flatten(1).sum(1)])
    (on_host,) = ReadBack(counts).wait()
    valid, points = on_host.tolist()
    return _problems(valid, points, min_points)


def problems_of(sizes: FrameSizes, min_points: int) -> tuple[Problem | None, ...]:
    """Return the same as `find_problems` for frames whose sizes are known on the host."""
    return _problems(sizes.valid, sizes.points, min_points)


def _problems(valid: Sequence[int], points: Sequence[int], min_points: int) -> tuple[Problem | None, ...]:
    return tuple(_problem(*counts, min_points) for counts in zip(valid, points, strict=True))


def _problem(valid: int, points: int, min_points: int) -> Problem | None:
    if not valid:
        return Problem(Reason.NO_VALID_3D, "no pixel has a valid 3D point")
    if points < max(min_points, 1):
        detail = f"{points} points are left of {valid}, {max(min_points, 1)} are needed"
        if points < valid:
            which = "all" if points == 0 else "the other"
            detail += f"; {which} points lie on or behind the tray's plane: are they in the sensor's frame?"
        return Problem(Reason.TOO_FEW_POINTS, detail)
    return None


def _by_model(models: Sequence[LoadedModel]) -> dict[LoadedModel, list[int]]:
    places: dict[LoadedModel, list[int]] = {}
    for i, model in enumerate(models):
        places.setdefault(model, []).append(i)
    return places


def _coverage(frames: PreparedFrames, models: Sequence[LoadedModel]) -> Tensor:
    nominal = [model.recipe.coverage.nominal_median_px or torch.nan for model in models]
    return frames.foreground.flatten(1).sum(1) / on_device(nominal, frames.foreground.device)


def _peaks(psi: Tensor, frames: PreparedFrames) -> tuple[Tensor, Tensor]:
    """Return the pixel (B, 2) of the highest Ψ and the point (B, 3) in metres of the nearest foreground pixel."""
    side = psi.shape[-1]
    highest = psi.flatten(1).argmax(1)
    peak = torch.stack([highest // side, highest % side], dim=1)
    index = torch.arange(side, device=psi.device)
    rows, columns = (peak[:, k, None] - index for k in (0, 1))
    distance = rows[:, :, None].square() + columns[:, None, :].square()
    nearest = distance.masked_fill(~frames.foreground, 2 * side * side).flatten(1).argmin(1)
    points = frames.xyz.flatten(2).gather(2, nearest[:, None, None].expand(-1, 3, 1))[..., 0]
    some = frames.foreground.flatten(1).any(1)
    return peak, torch.where(some[:, None], points, torch.nan)
