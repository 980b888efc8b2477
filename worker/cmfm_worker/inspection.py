"""One batch through the method: prepare → extract → map → aggregate → score (DESIGN § 3).

The one code path of the running line, of `inspect`, of `evaluate` and of the validation in `fit`. A frame
that cannot be inspected is reported as a `Problem`; it neither raises nor touches its neighbours in the
batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmfm_protocol.verdict import Reason
from cmfm_worker.cfm.anomaly import crossmodal_maps, score
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.mapping import MappingPair
from cmfm_worker.cfm.precision import Precision
from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, prepare
from cmfm_worker.cfm.tokens import extract
from cmfm_worker.errors import InputError
from cmfm_worker.extractors import require_match
from cmfm_worker.recipe import LoadedRecipe, Recipe


@dataclass(frozen=True, eq=False, slots=True)
class LoadedModel:
    """A recipe ready for use: its networks lie on the device of the extractor it is used with."""

    recipe: Recipe
    mapping: MappingPair
    sha: str

    @classmethod
    def of(cls, loaded: LoadedRecipe, device: torch.device, precision: Precision = "fp32") -> Self:
        """Put a loaded recipe on a device; `precision` is that of its products at the pixels."""
        mapping = replace(loaded.mapping, precision=precision).to(device)
        _ = mapping.at_tokens  # made here, so that no part has to wait for it
        return cls(loaded.recipe, mapping, loaded.model_sha)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a frame was not inspected: NO_VALID_3D or TOO_FEW_POINTS."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class InspectedPart:
    """One frame's findings on the host.

    `psi`, `psi_2d`, `psi_3d` (224, 224) float32; `rgb` (224, 224, 3) uint8; `xyz` (3, 224, 224) float32
    metres with 0 outside the foreground; `foreground`, `valid` (224, 224) bool. `peak_px` (row, column) is
    the highest Ψ, `peak_xyz_m` the foreground point nearest to it. With a `problem` the maps are 0, the
    score is NaN and there is no peak.
    """

    psi: NDArray[np.float32]
    psi_2d: NDArray[np.float32]
    psi_3d: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    xyz: NDArray[np.float32]
    foreground: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    score: float
    coverage: float | None
    peak_px: tuple[int, int] | None
    peak_xyz_m: tuple[float, float, float] | None
    problem: Problem | None

    @property
    def depth(self) -> NDArray[np.float32]:
        """Distance along z, (224, 224) metres, 0 outside the foreground."""
        z: NDArray[np.float32] = self.xyz[2]
        return z

    @property
    def psi_as_scored(self) -> NDArray[np.float32]:
        """Ψ in the unit of the score, so that its maximum is the score: Ψ itself, or Ψ/√m as published."""
        highest = float(self.psi.max())
        return self.psi * np.float32(self.score / highest) if highest > 0 else self.psi


@dataclass(frozen=True, slots=True)
class InspectedBatch:
    """B frames' findings on the device; fields as in `InspectedPart` with a leading B, NaN for "not known".

    `coverage` (B,): foreground pixels over those of the recipe's median nominal part, so that missing 3D
    lowers it and a part like the others has about 1.
    """

    psi: Tensor
    psi_2d: Tensor
    psi_3d: Tensor
    rgb: Tensor
    xyz: Tensor
    foreground: Tensor
    valid: Tensor
    score: Tensor
    coverage: Tensor
    peak_px: Tensor
    peak_xyz_m: Tensor
    problems: tuple[Problem | None, ...]

    def __len__(self) -> int:
        return len(self.problems)

    def to(self, device: torch.device | str) -> "InspectedBatch":
        """The same on another device."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "problems"}
        # Into page-locked memory all copies are issued at once, and waited for once.
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}
        if self.psi.is_cuda and not moved["psi"].is_cuda:
            torch.cuda.current_stream(self.psi.device).synchronize()
        return replace(self, **moved)

    def parts(self) -> list[InspectedPart]:
        """Every frame on the host; waits for the device once."""
        host = self.to("cpu")
        return [host._part(i) for i in range(len(self))]

    def _part(self, i: int) -> InspectedPart:
        problem, coverage = self.problems[i], float(self.coverage[i])
        row, column = self.peak_px[i].tolist()
        x, y, z = self.peak_xyz_m[i].tolist()
        return InspectedPart(
            psi=self.psi[i].numpy(),
            psi_2d=self.psi_2d[i].numpy(),
            psi_3d=self.psi_3d[i].numpy(),
            rgb=self.rgb[i].numpy(),
            xyz=self.xyz[i].numpy(),
            foreground=self.foreground[i].numpy(),
            valid=self.valid[i].numpy(),
            score=float(self.score[i]),
            coverage=None if np.isnan(coverage) else coverage,
            peak_px=None if problem else (row, column),
            peak_xyz_m=None if problem or np.isnan(x) else (x, y, z),
            problem=problem,
        )


class Inspector:
    """Inspects batches with one extractor; recipes taught on that extractor may be mixed in a batch."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor

    def require_match(self, recipe: Recipe) -> None:
        """Raise InputError where a recipe was taught on another extractor, or its widths do not fit."""
        require_match(recipe, self.extractor.identity)
        for key in ("d2", "d3"):
            taught, here = getattr(recipe.mapping, key), getattr(self.extractor, key)
            if taught != here:
                raise InputError(
                    f"recipe {recipe.name!r}: mapping.{key} is {taught}, features have width {here}"
                )

    @torch.no_grad()
    def inspect(self, rgb: Tensor, xyz: Tensor, models: Sequence[LoadedModel]) -> InspectedBatch:
        """Inspect B frames of one size, each with its model.

        `rgb` (B, H, W, 3) uint8 and `xyz` (B, H, W, 3) float32 metres lie on the extractor's device. Raises
        ValueError for other shapes or dtypes (intake and file readers have checked them).
        """
        return self.inspect_prepared(
            prepare_mixed(rgb, xyz, [model.recipe.background.options() for model in models]), models
        )

    @torch.no_grad()
    def inspect_prepared(self, frames: PreparedFrames, models: Sequence[LoadedModel]) -> InspectedBatch:
        """Inspect B prepared frames, each with its model, which takes their background to be off already.

        The frames lie on the extractor's device.
        """
        problems = find_problems(frames, self.extractor.min_points)
        sound = [i for i, problem in enumerate(problems) if problem is None]
        psi_2d, psi_3d, psi = (frames.xyz.new_zeros(frames.foreground.shape) for _ in range(3))
        scores = frames.xyz.new_full((len(models),), torch.nan)
        if sound:
            chosen = frames if len(sound) == len(models) else select_frames(frames, sound)
            features = extract(self.extractor, chosen)
            for model, places in _by_model([models[i] for i in sound]).items():
                mine = features if len(places) == len(sound) else features.select(places)
                how = model.recipe.score
                maps = crossmodal_maps(mine, model.mapping, how.distance, how.aggregation)
                at = torch.tensor([sound[place] for place in places], device=psi.device)
                psi_2d[at], psi_3d[at], psi[at] = maps.psi_2d, maps.psi_3d, maps.psi
                scores[at] = score(maps.psi, how.normalisation)
        peak_px, peak_xyz_m = _peaks(psi, frames)
        return InspectedBatch(
            psi=psi,
            psi_2d=psi_2d,
            psi_3d=psi_3d,
            rgb=(frames.rgb.permute(0, 2, 3, 1) * 255).round().byte(),  # B C H W -> B H W C
            xyz=frames.xyz,
            foreground=frames.foreground,
            valid=frames.valid,
            score=scores,
            coverage=_coverage(frames, models),
            peak_px=peak_px,
            peak_xyz_m=peak_xyz_m,
            problems=problems,
        )


def prepare_mixed(rgb: Tensor, xyz: Tensor, backgrounds: Sequence[BackgroundOptions]) -> PreparedFrames:
    """`prepare` for frames whose recipes may differ in their background options, in the order given."""
    places: dict[BackgroundOptions, list[int]] = {}
    for i, background in enumerate(backgrounds):
        places.setdefault(background, []).append(i)
    if len(places) == 1:
        return prepare(rgb, xyz, backgrounds[0])
    groups = [prepare(rgb[at], xyz[at], background) for background, at in places.items()]
    order = [i for at in places.values() for i in at]
    back = torch.tensor(order, device=rgb.device).argsort()
    joined = {f.name: torch.cat([getattr(group, f.name) for group in groups]) for f in fields(PreparedFrames)}
    return PreparedFrames(**{name: tensor[back] for name, tensor in joined.items()})


def select_frames(frames: PreparedFrames, places: Sequence[int]) -> PreparedFrames:
    """Some frames of a prepared batch."""
    at = torch.tensor(list(places), device=frames.rgb.device)
    return PreparedFrames(**{f.name: getattr(frames, f.name)[at] for f in fields(PreparedFrames)})


def find_problems(frames: PreparedFrames, min_points: int) -> tuple[Problem | None, ...]:
    """What keeps each frame from being inspected, None where nothing does. Waits for the device."""
    counts = torch.stack([frames.valid.flatten(1).sum(1), frames.foreground.flatten(1).sum(1)]).tolist()
    return tuple(_problem(valid, points, min_points) for valid, points in zip(*counts, strict=True))


def _problem(valid: int, points: int, min_points: int) -> Problem | None:
    if not valid:
        return Problem(Reason.NO_VALID_3D, "no pixel has a valid 3D point")
    if points < max(min_points, 1):
        detail = (
            f"{points} points are left of {valid} after background removal, {max(min_points, 1)} are needed"
        )
        return Problem(Reason.TOO_FEW_POINTS, detail)
    return None


def _by_model(models: Sequence[LoadedModel]) -> dict[LoadedModel, list[int]]:
    places: dict[LoadedModel, list[int]] = {}
    for i, model in enumerate(models):
        places.setdefault(model, []).append(i)
    return places


def _coverage(frames: PreparedFrames, models: Sequence[LoadedModel]) -> Tensor:
    nominal = [model.recipe.coverage.nominal_median_px or torch.nan for model in models]
    return frames.foreground.flatten(1).sum(1) / torch.tensor(nominal, device=frames.foreground.device)


def _peaks(psi: Tensor, frames: PreparedFrames) -> tuple[Tensor, Tensor]:
    """The pixel (B, 2) of the highest Ψ; the point (B, 3), metres, of the foreground pixel nearest to it."""
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
