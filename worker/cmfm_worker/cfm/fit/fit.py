"""Fitting both mapping networks on nominal parts (paper § 3.2, Training; Eq. 2)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.nominal import FitError, check_parts, predict_constants, standardiser_of
from cmfm_worker.cfm.fit.options import FitOptions
from cmfm_worker.cfm.mapping.pair import MappingPair, new_pair
from cmfm_worker.cfm.progress import ReportProgress

__all__ = [
    "FitError",
    "FitOptions",
    "FitReport",
    "cosine_distance",
    "fit_mapping",
    "negative_log_likelihood",
]

MAX_GRADIENT = 5.0
"""Length to which the gradient of a fit with spreads is cut."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """What was learned: the mean losses of every epoch, how many `parts` and `pixels`, in what time.

    A loss is the cosine distance (Eq. 2), or with spreads the negative log likelihood of a channel, in nats without
    its constant.

    `pixels` is how many the parts have, `pixels_per_epoch` how many of them, and of their variations, an epoch saw.
    A low loss is no proof of a good mapping: both modalities may merely encode the position.
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
    progress: ReportProgress | None = None,
    device: torch.device | str = "cpu",
) -> tuple[MappingPair, FitReport]:
    """Fit M_2D→3D and M_3D→2D jointly on the parts in the store, by Adam on the mean of Eq. 2 over the
    pixels drawn.

    The same store, options and seed give the same mapping on one CPU with one number of threads. The pair
    comes back frozen on `device`. Raises FitError where there is no part, where parts have no foreground
    pixel (it names them) and where the features or the loss are not finite.
    """
    check_parts(features)
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
            progress("fit", epoch + 1, options.epochs)
    for network in (pair.to_3d, pair.to_2d):
        network.eval().requires_grad_(False)
    limit = options.pixels_per_image
    return pair, FitReport(
        loss_2d=tuple(loss for loss, _ in losses),
        loss_3d=tuple(loss for _, loss in losses),
        parts=len(features.own_counts),
        pixels=sum(features.own_counts),
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
        optimiser.zero_grad(set_to_none=True)
        count = sum(min(features.counts[i], options.pixels_per_image or features.counts[i]) for i in batch)
        for E_2D, E_3D, mask in _pieces(features, batch, pair, options, generator):
            noise = [_noise(features, k, len(E_2D), options, generator) for k in (0, 1)]
            loss_2d, loss_3d = _losses(pair, E_2D, E_3D, mask, noise)
            # Pieces have their share in the mean over the batch's pixels: so they need not be in memory together.
            ((loss_2d + loss_3d) * (len(E_2D) / count)).backward()
            total += torch.stack([loss_2d.detach(), loss_3d.detach()]).cpu() * len(E_2D)
        if options.spread:  # a place that was taken for certain and was not has a gradient of any size
            torch.nn.utils.clip_grad_norm_([*pair.to_3d.parameters(), *pair.to_2d.parameters()], MAX_GRADIENT)
        optimiser.step()
        schedule.step()
        pixels += count
    mean_2d, mean_3d = (total / pixels).tolist()
    return mean_2d, mean_3d


def _pieces(
    features: FeatureStore,
    batch: list[int],
    pair: MappingPair,
    options: FitOptions,
    generator: torch.Generator,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """What passes the networks together: pixels drawn from all parts of a batch, or each part's whole map."""
    if not pair.whole_maps:
        yield *features.draw(batch, options.pixels_per_image, generator), None
        return
    for index in batch:
        yield *features.part(index), features.mask(index)


def _noise(
    features: FeatureStore, modality: int, pixels: int, options: FitOptions, generator: torch.Generator
) -> Tensor | None:
    """What is added to features of 2D (0) or 3D (1): (pixels, D), 0 but in the wide context; None where nothing is."""
    width, wide = features.widths[modality], features.wide[modality]
    if not wide or not options.wide_noise:
        return None
    drawn = torch.randn(pixels, wide, generator=generator) * options.wide_noise
    return torch.cat([torch.zeros(pixels, width - wide), drawn], dim=1)


def _losses(
    pair: MappingPair,
    E_2D: Tensor,
    E_3D: Tensor,
    mask: Tensor | None = None,
    noise: Sequence[Tensor | None] = (None, None),
) -> tuple[Tensor, Tensor]:
    """Mean losses of both directions; `noise` is added to standardised features (2D, 3D)."""
    device = next(pair.to_3d.parameters()).device
    E_2D, E_3D = E_2D.to(device), E_3D.to(device)
    if mask is not None:
        mask = mask.to(device)
    if pair.standardise is not None:
        E_2D, E_3D = pair.standardise(E_2D, E_3D)
    E_2D, E_3D = (
        E if added is None else E + added.to(device) for E, added in zip((E_2D, E_3D), noise, strict=True)
    )
    if pair.has_spreads:
        on_2d, on_3d = pair.predict_with_log_spreads(E_2D, E_3D, mask)
        E_2D, E_3D = pair.predicted(E_2D, E_3D)
        return negative_log_likelihood(E_2D, *on_2d).mean(), negative_log_likelihood(E_3D, *on_3d).mean()
    E_2D_hat, E_3D_hat = pair.predict(E_2D, E_3D, mask)  # Eq. 1
    E_2D, E_3D = pair.predicted(E_2D, E_3D)
    return cosine_distance(E_2D, E_2D_hat).mean(), cosine_distance(E_3D, E_3D_hat).mean()


def _new_pair(features: FeatureStore, options: FitOptions) -> MappingPair:
    d2, d3 = features.widths
    with torch.random.fork_rng(
        devices=[]
    ):  # the seed decides the first weights and nothing else of the process
        torch.manual_seed(options.seed)
        pair = new_pair(
            d2,
            d3,
            options.architecture,
            options.modality,
            options.hidden,
            spread=options.spread,
            context=features.context,
        )
    if options.standardise:
        pair = replace(pair, standardise=standardiser_of(features))
    if options.spread:
        predict_constants(features, pair)
    return pair


def _batches(parts: int, size: int, generator: torch.Generator) -> Iterator[list[int]]:
    order = torch.randperm(parts, generator=generator).tolist()
    for start in range(0, parts, size):
        yield order[start : start + size]


def _lr_share(step: int, steps: int, options: FitOptions) -> float:
    if options.schedule == "constant":
        return 1.0
    return 0.5 * (1.0 + math.cos(math.pi * min(step, steps) / steps))
