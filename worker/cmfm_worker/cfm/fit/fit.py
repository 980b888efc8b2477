"""Fitting both mapping networks on nominal parts (paper § 3.2, Training; Eq. 2)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cmfm_worker.cfm.equations import loss_terms
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.nominal import FitError, check_parts, predict_constants, standardiser_of
from cmfm_worker.cfm.fit.options import FitOptions
from cmfm_worker.cfm.mapping.pair import MappingPair, new_pair

__all__ = [
    "AfterEpoch",
    "FitError",
    "FitOptions",
    "FitReport",
    "fit_mapping",
    "negative_log_likelihood",
]

AfterEpoch = Callable[[int, int, float, float], None]
"""Called after every epoch: (epochs done, epochs in all, mean 2D loss, mean 3D loss)."""


_GLOBAL_GENERATOR = threading.Lock()

MAX_GRADIENT = 5.0
"""The greatest length of the gradient in a fit with spreads."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """The course of a fit: the mean losses of every epoch, the number of parts and pixels, the time.

    A loss is a term of Eq. 2, or with spreads the negative log likelihood of a channel in nats, without its constant.
    A low loss does not prove a good mapping: both modalities may merely encode the position. `pixels` are those of the
    parts, `pixels_per_epoch` those that an epoch saw, variations included.
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
    after_epoch: AfterEpoch | None = None,
    device: torch.device | str = "cpu",
) -> tuple[MappingPair, FitReport]:
    """Fit M_2D→3D and M_3D→2D jointly on the parts in the store, by Adam on the mean of Eq. 2 over the pixels drawn.

    The same store, options and seed give the same mapping on one CPU with one number of threads. The pair is returned
    frozen, on `device`. Raises FitError if there is no part, if parts have no foreground pixel (it names them), and if
    the features or the loss are not finite.
    """
    check_parts(features)
    start = time.perf_counter()
    pair = _new_pair(features, options).to(device)
    parameters = [*pair.to_3d.parameters(), *pair.to_2d.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=options.lr, fused=True)
    steps = options.epochs * math.ceil(len(features) / options.batch_images)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _lr_share(step, steps, options))
    generator = torch.Generator().manual_seed(options.seed)
    losses: list[tuple[float, float]] = []
    for epoch in range(options.epochs):
        losses.append(_epoch(features, pair, optimiser, schedule, options, generator))
        if not all(map(math.isfinite, losses[-1])):
            raise FitError(f"the loss of epoch {epoch + 1} is not a finite number; lower lr ({options.lr:g})")
        if after_epoch is not None:
            after_epoch(epoch + 1, options.epochs, *losses[-1])
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


def negative_log_likelihood(E: Tensor, E_mapped: Tensor, log_spread: Tensor) -> Tensor:
    """Compute −log N(E; Ê, σ²) without its constant, averaged over the channels: (P, C) → (P,).

    σ grows where features are hard to predict, so that neither the fit nor a verdict depends on such places.
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
    """Fit once over all parts and return the mean of both losses over the pixels."""
    total = torch.zeros(2, dtype=torch.float64)
    pixels = 0
    for batch in _batches(len(features), options.batch_images, generator):
        optimiser.zero_grad(set_to_none=True)
        count = sum(min(features.counts[i], options.pixels_per_image or features.counts[i]) for i in batch)
        for E_2D, E_3D, mask in _chunks(features, batch, pair, options, generator):
            noise = [_noise(features, k, len(E_2D), options, generator) for k in (0, 1)]
            loss_2d, loss_3d = _losses(pair, E_2D, E_3D, mask, noise)
            # Each chunk is weighted by its share of the batch's pixels, so that chunks need not be in memory together.
            ((loss_2d + loss_3d) * (len(E_2D) / count)).backward()
            total += torch.stack([loss_2d.detach(), loss_3d.detach()]).cpu() * len(E_2D)
        if options.spread:  # a pixel that was predicted too surely has a gradient of any size
            torch.nn.utils.clip_grad_norm_([*pair.to_3d.parameters(), *pair.to_2d.parameters()], MAX_GRADIENT)
        optimiser.step()
        schedule.step()
        pixels += count
    mean_2d, mean_3d = (total / pixels).tolist()
    return mean_2d, mean_3d


def _chunks(
    features: FeatureStore,
    batch: list[int],
    pair: MappingPair,
    options: FitOptions,
    generator: torch.Generator,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Yield what passes the networks together: pixels drawn from all parts of a batch, or each part's whole map."""
    if not pair.whole_maps:
        yield *features.draw(batch, options.pixels_per_image, generator), None
        return
    for index in batch:
        yield *features.part(index), features.mask(index)


def _noise(
    features: FeatureStore, modality: int, pixels: int, options: FitOptions, generator: torch.Generator
) -> Tensor | None:
    """Draw noise for the wide context of 2D (0) or 3D (1) features: (pixels, D), 0 elsewhere; None if there is none."""
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
    """Compute the mean losses of both modalities. `noise` is added to standardised features (2D, 3D)."""
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
    L_2D, L_3D = loss_terms(E_2D, E_2D_hat, E_3D, E_3D_hat)  # Eq. 2
    return L_2D.mean(), L_3D.mean()


def _new_pair(features: FeatureStore, options: FitOptions) -> MappingPair:
    d2, d3 = features.widths
    # The seed sets the first weights and nothing else in the process. Other threads may be fitting, too.
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
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
