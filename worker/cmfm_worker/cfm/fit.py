"""Fitting both mapping networks on nominal parts (paper § 3.2, Training; Eq. 2)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.cfm.feature_store import FeatureStore
from cmfm_worker.cfm.mapping import Mapping, MappingPair, Standardiser

Progress = Callable[[int, int, float, float], None]
"""Called after every epoch: (epochs done, epochs in all, mean 2D loss, mean 3D loss)."""


MAX_GRADIENT = 5.0
"""Length to which the gradient of a fit with spreads is cut."""


class FitError(Exception):
    """The parts cannot teach a mapping; the message names what is wrong with which of them."""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How a mapping is fitted.

    `pixels_per_image`: pixels drawn afresh from every part in every epoch, None for all of them;
    `batch_images`: parts a step; `hidden`: width of the networks, None for (D_2D + D_3D) / 2; `schedule`
    "cosine" lets the learning rate fall to 0 over the fit; `standardise`: give every channel mean 0 and
    standard deviation 1 over the nominal parts; `spread`: learn beside each prediction how far nominal features
    spread around it, by Gaussian likelihood instead of Eq. 2.
    """

    epochs: int
    batch_images: int
    pixels_per_image: int | None
    lr: float
    hidden: int | None
    schedule: Literal["cosine", "constant"]
    standardise: bool
    spread: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError where an option is out of its range."""
        counts = {"epochs": self.epochs, "batch_images": self.batch_images}
        counts |= {"pixels_per_image": self.pixels_per_image or 1, "hidden": self.hidden or 1}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not 0.0 < self.lr < math.inf:
            raise ValueError(f"lr must be a positive number, not {self.lr}")
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule must be 'cosine' or 'constant', not {self.schedule!r}")

    @classmethod
    def for_preset(cls, preset: Preset) -> FitOptions:
        """The options of an extractor preset; `paper` is the paper's own (§ 4, Implementation Details)."""
        if preset == "paper":
            return cls(250, 4, None, lr=1e-3, hidden=None, schedule="constant", standardise=False)
        return cls(40, 2, 600, lr=4e-3, hidden=128, schedule="cosine", standardise=True, spread=True)


@dataclass(frozen=True, slots=True)
class FitReport:
    """What was learned: the mean losses of every epoch, how many `parts` and `pixels`, in what time.

    A loss is the cosine distance (Eq. 2), or with spreads the negative log likelihood of a channel, in nats without
    its constant.

    `pixels` is how many the parts have, `pixels_per_epoch` how many of them an epoch saw. A low loss is no
    proof of a good mapping: both modalities may merely encode the position.
    """

    loss_2d: tuple[float, ...]
    loss_3d: tuple[float, ...]
    parts: int
    pixels: int
    pixels_per_epoch: int
    seconds: float


def fit_mapping(
    features: FeatureStore,
    options: FitOptions,
    progress: Progress | None = None,
    device: torch.device | str = "cpu",
) -> tuple[MappingPair, FitReport]:
    """Fit M_2D→3D and M_3D→2D jointly on the parts in the store, by Adam on the mean of Eq. 2 over the
    pixels drawn.

    The same store, options and seed give the same mapping on one CPU with one number of threads. The pair
    comes back frozen on `device`. Raises FitError where there is no part, where parts have no foreground
    pixel (it names them) and where the features or the loss are not finite.
    """
    _check_parts(features)
    start = time.perf_counter()
    pair = _new_pair(features, options).to(device)
    parameters = [*pair.to_3d.parameters(), *pair.to_2d.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=options.lr)
    steps = options.epochs * math.ceil(len(features) / options.batch_images)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _lr_share(step, steps, options))
    generator = torch.Generator().manual_seed(options.seed)
    losses: list[tuple[float, float]] = []
    for epoch in range(options.epochs):
        losses.append(_epoch(features, pair, optimiser, schedule, options, generator))
        if not all(map(math.isfinite, losses[-1])):
            raise FitError(f"the loss of epoch {epoch + 1} is not a finite number; lower lr ({options.lr:g})")
        if progress is not None:
            progress(epoch + 1, options.epochs, *losses[-1])
    for network in (pair.to_3d, pair.to_2d):
        network.eval().requires_grad_(False)
    limit = options.pixels_per_image
    return pair, FitReport(
        loss_2d=tuple(loss for loss, _ in losses),
        loss_3d=tuple(loss for _, loss in losses),
        parts=len(features),
        pixels=sum(features.counts),
        pixels_per_epoch=sum(min(count, limit or count) for count in features.counts),
        seconds=time.perf_counter() - start,
    )


def cosine_distance(E: Tensor, E_mapped: Tensor) -> Tensor:
    """One half of Eq. 2, 1 − E·Ê / (‖E‖‖Ê‖): (P, C) → (P,)."""
    return 1.0 - torch.cosine_similarity(E, E_mapped, dim=-1)


def negative_log_likelihood(E: Tensor, E_mapped: Tensor, log_spread: Tensor) -> Tensor:
    """−log N(E; Ê, σ²) without its constant, the mean over the channels: (P, C) → (P,).

    Where features are hard to predict σ grows, so that neither the fit nor a verdict hangs on such places.
    """
    z = (E - E_mapped) * torch.exp(-log_spread)
    return (0.5 * z.square() + log_spread).mean(-1)


def standardiser_of(features: FeatureStore) -> Standardiser:
    """Mean and standard deviation of every channel over all pixels of all parts.

    A channel that never varies is given the length of a typical standardised feature, √C: with it the cosine distance
    of Eq. 2 acts near the mean like a Euclidean one. A channel that is always 0 stays so.

    Raises FitError naming the parts whose features are not finite.
    """
    moments = [[_moments(E) for E in features.part(i)] for i in range(len(features))]
    broken = [
        features.names[i] for i, both in enumerate(moments) if not all(m.isfinite().all() for m in both)
    ]
    if broken:
        raise FitError(f"features of these parts are not finite numbers: {', '.join(broken)}")
    scales = [_mean_and_std([both[k] for both in moments], sum(features.counts)) for k in (0, 1)]
    (mean_2d, std_2d), (mean_3d, std_3d) = scales
    return Standardiser(mean_2d, std_2d, mean_3d, std_3d)


def _epoch(
    features: FeatureStore,
    pair: MappingPair,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    options: FitOptions,
    generator: torch.Generator,
) -> tuple[float, float]:
    """One pass over the parts; the mean of both losses over its pixels."""
    total = torch.zeros(2, dtype=torch.float64)
    pixels = 0
    for batch in _batches(len(features), options.batch_images, generator):
        E_2D, E_3D = features.draw(batch, options.pixels_per_image, generator)
        loss_2d, loss_3d = _losses(pair, E_2D, E_3D)
        optimiser.zero_grad(set_to_none=True)
        (loss_2d + loss_3d).backward()
        if options.spread:  # a place that was taken for certain and was not has a gradient of any size
            torch.nn.utils.clip_grad_norm_([*pair.to_3d.parameters(), *pair.to_2d.parameters()], MAX_GRADIENT)
        optimiser.step()
        schedule.step()
        total += torch.stack([loss_2d.detach(), loss_3d.detach()]).cpu() * len(E_2D)
        pixels += len(E_2D)
    mean_2d, mean_3d = (total / pixels).tolist()
    return mean_2d, mean_3d


def _losses(pair: MappingPair, E_2D: Tensor, E_3D: Tensor) -> tuple[Tensor, Tensor]:
    device = next(pair.to_3d.parameters()).device
    E_2D, E_3D = E_2D.to(device), E_3D.to(device)
    if pair.standardise is not None:
        E_2D, E_3D = pair.standardise(E_2D, E_3D)
    if pair.has_spreads:
        on_2d = negative_log_likelihood(E_2D, *pair.to_2d.with_log_spread(E_3D))
        return on_2d.mean(), negative_log_likelihood(E_3D, *pair.to_3d.with_log_spread(E_2D)).mean()
    mapped_3d, mapped_2d = pair.to_3d(E_2D), pair.to_2d(E_3D)  # Eq. 1
    return cosine_distance(E_2D, mapped_2d).mean(), cosine_distance(E_3D, mapped_3d).mean()


def _new_pair(features: FeatureStore, options: FitOptions) -> MappingPair:
    d2, d3 = features.widths
    with torch.random.fork_rng(
        devices=[]
    ):  # the seed decides the first weights and nothing else of the process
        torch.manual_seed(options.seed)
        to_3d = Mapping(d2, d3, options.hidden, spread=options.spread)
        to_2d = Mapping(d3, d2, options.hidden, spread=options.spread)
    pair = MappingPair(to_3d, to_2d, standardiser_of(features) if options.standardise else None)
    if options.spread:
        _predict_constants(features, pair)
    return pair


@torch.no_grad()
def _predict_constants(features: FeatureStore, pair: MappingPair) -> None:
    """A channel that never varies is predicted exactly, from the start and for ever: its residual has no gradient.

    Learned, it would be known so surely that any unusual input made it the largest anomaly.
    """
    bounds = [[torch.stack([E.amin(0), E.amax(0)]) for E in features.part(i)] for i in range(len(features))]
    lowest = [torch.stack([both[k][0] for both in bounds]).amin(0) for k in (0, 1)]
    highest = [torch.stack([both[k][1] for both in bounds]).amax(0) for k in (0, 1)]
    values = lowest if pair.standardise is None else pair.standardise(*(low[None] for low in lowest))
    for network, value, low, high in zip((pair.to_2d, pair.to_3d), values, lowest, highest, strict=True):
        constant = low == high
        network.output.weight[constant] = 0.0
        network.output.bias[constant] = value.reshape(-1)[constant]


def _batches(parts: int, size: int, generator: torch.Generator) -> Iterator[list[int]]:
    order = torch.randperm(parts, generator=generator).tolist()
    for start in range(0, parts, size):
        yield order[start : start + size]


def _lr_share(step: int, steps: int, options: FitOptions) -> float:
    if options.schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(step, steps) / steps))


def _check_parts(features: FeatureStore) -> None:
    if not len(features):
        raise FitError("no nominal part to fit on")
    empty = [name for name, count in zip(features.names, features.counts, strict=True) if not count]
    if empty:
        raise FitError(f"no foreground pixel in these parts: {', '.join(empty)}")


def _moments(E: Tensor) -> Tensor:
    """Sum and sum of squares of every channel: (2, C) float64."""
    E = E.double()
    return torch.stack([E.sum(0), E.square().sum(0)])


def _mean_and_std(moments: list[Tensor], pixels: int) -> tuple[Tensor, Tensor]:
    mean, square = torch.stack(moments).sum(0) / pixels
    std = (square - mean.square()).clamp(min=0.0).sqrt()
    constant = std <= 1e-6 * mean.abs() + 1e-12
    length = (mean.abs() / math.sqrt(len(mean))).where(mean != 0, 1.0)
    return mean.where(~constant, 0.0).float(), torch.where(constant, length, std).float()
