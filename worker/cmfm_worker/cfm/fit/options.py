"""The options of a fit, and their values for each extractor preset."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cmfm_worker.cfm.extractor import Preset
from cmfm_worker.cfm.mapping.pair import NETWORKS
from cmfm_worker.cfm.variants import Architecture, Modality


@dataclass(frozen=True, slots=True)
class FitOptions:
    """The options of a fit.

    - `pixels_per_image`: pixels drawn anew from every part in every epoch; None for all. Convolutions are fitted on
      whole maps, so there it must be None; their loss, too, counts only pixels inside the mask.
    - `batch_images`: parts a step.
    - `hidden`: width of the networks; None for the usual width of their architecture.
    - `schedule`: "cosine" lets the learning rate fall to 0 over the fit.
    - `standardise`: give every channel mean 0 and standard deviation 1 over the nominal parts.
    - `spread`: also learn how far nominal features spread around each prediction, by Gaussian likelihood in place of
      Eq. 2.
    - `wide_noise`: deviation of the noise added to wide context channels during the fit, in units of standardised
      features. Without it a network learns a few dozen parts by heart, because it recognises them by their wide
      context.
    - `variations`: how many variations of each part are also taught (`nominal_variation.py`).
    - `metric`: also learn a metric on residuals from simulated defects (`residual_metric.py`). Needs `spread`.
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
    architecture: Architecture = "mlp"
    modality: Modality = "cross"
    wide_noise: float = 0.0
    variations: int = 0
    metric: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if an option is out of its range, or if options do not fit together."""
        for name in ("epochs", "batch_images", "pixels_per_image", "hidden"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not 0.0 < self.lr < math.inf:
            raise ValueError(f"lr must be a positive number, not {self.lr}")
        if not 0.0 <= self.wide_noise < math.inf:
            raise ValueError(f"wide_noise must not be negative, not {self.wide_noise}")
        if self.metric and not self.spread:
            raise ValueError("metric: a metric on residuals needs learned spreads")
        if self.metric and self.modality != "cross":
            raise ValueError(
                "metric: it weighs the residuals of both modalities together, take modality 'cross'"
            )
        if self.metric and NETWORKS[self.architecture].whole_maps:
            raise ValueError(
                f"metric: {self.architecture} predicts whole maps, a metric is learned from some pixels"
            )
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"schedule must be 'cosine' or 'constant', not {self.schedule!r}")
        if self.pixels_per_image is not None and NETWORKS[self.architecture].whole_maps:
            raise ValueError(
                f"pixels_per_image: {self.architecture} is fitted on whole maps, not on some pixels"
            )

    @classmethod
    def for_preset(cls, preset: Preset, architecture: Architecture = "mlp") -> FitOptions:
        """Return the options of an extractor preset. Those of `paper` are the paper's (§ 4, Implementation Details).

        Suppl. B trains all architectures in the same way; here they differ only where they must.
        """
        network = NETWORKS[architecture]
        if preset == "paper":
            return cls(
                250,
                4,
                None,
                lr=1e-3,
                hidden=None,
                schedule="constant",
                standardise=False,
                architecture=architecture,
            )
        return cls(
            epochs=60 if network.whole_maps else 120,
            batch_images=2 if network.whole_maps else 12,
            pixels_per_image=None if network.whole_maps else 83,
            lr=4e-3 if network.whole_maps else 8e-3,
            hidden=128 if architecture == "mlp" else None,
            schedule="cosine",
            standardise=True,
            spread=True,
            architecture=architecture,
            wide_noise=0.5,
            variations=0 if network.whole_maps else 2,
            metric=not network.whole_maps,
        )
