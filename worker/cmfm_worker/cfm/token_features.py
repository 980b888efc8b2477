"""Features in the form of tokens, before they are spread over the pixels.

A pixel's feature is a weighted sum of a few tokens (`points/interpolation.py`). Linear layers can therefore be
applied to the tokens, of which there are far fewer than pixels (`mapping/at_tokens.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from cmfm_worker.cfm.extractor import Extractor, PixelFeatures
from cmfm_worker.cfm.fast.frame_sizes import FrameSizes
from cmfm_worker.cfm.mapping.token_sampling import TokenSampling
from cmfm_worker.cfm.prepare import PreparedFrames


@dataclass(frozen=True)
class SampledTokens:
    """One modality: `tokens` (T, C) float32 of the whole batch, and the matrix that spreads them over the pixels."""

    tokens: Tensor
    sampling: TokenSampling

    def at_pixels(self) -> Tensor:
        """Compute the features (P, C) of the pixels."""
        return self.sampling(self.tokens)

    def of_rows(self, counts: Sequence[int], pieces: Sequence[int]) -> SampledTokens:
        """Cut the pixels into `counts` and keep some `pieces`, in the given order, with the tokens that they need."""
        *cut, nothing = self.sampling.split([*counts, 0])
        sampling = TokenSampling.join([nothing, *(cut[i] for i in pieces)])
        used = sampling.used(len(self.tokens))
        return SampledTokens(self.tokens[used], sampling.of_used(used))


@dataclass(frozen=True)
class TokenFeatures:
    """Both modalities of a batch as tokens, for the pixels of `mask` (B, 224, 224) bool."""

    image: SampledTokens
    points: SampledTokens
    mask: Tensor

    @property
    def d2(self) -> int:
        """Return D_2D, the width of a 2D feature."""
        return self.image.tokens.shape[1]

    @property
    def d3(self) -> int:
        """Return D_3D, the width of a 3D feature."""
        return self.points.tokens.shape[1]

    def at_pixels(self) -> PixelFeatures:
        """Spread the tokens over the pixels of the mask: E_2D and E_3D."""
        return PixelFeatures(self.image.at_pixels(), self.points.at_pixels(), self.mask)

    def select(self, frames: Sequence[int]) -> TokenFeatures:
        """Return the features of some frames of the batch, in the given order. A batch may mix recipes."""
        counts = [int(n) for n in self.mask.flatten(1).sum(1).tolist()]  # waits for the device
        at = torch.tensor(list(frames), dtype=torch.long, device=self.mask.device)
        return TokenFeatures(
            self.image.of_rows(counts, frames), self.points.of_rows(counts, frames), self.mask[at]
        )


@runtime_checkable
class TokenExtractor(Extractor, Protocol):
    """An extractor that can return its features as tokens."""

    def tokens(self, frames: PreparedFrames, sizes: FrameSizes | None = None) -> TokenFeatures:
        """Extract the features of a prepared batch as tokens; `sizes` saves a wait if they are known."""
        ...


def extract(
    extractor: Extractor, frames: PreparedFrames, sizes: FrameSizes | None = None
) -> PixelFeatures | TokenFeatures:
    """Extract the features of a prepared batch in the form that is cheapest to map."""
    if isinstance(extractor, TokenExtractor):
        return extractor.tokens(frames, sizes)
    return extractor(frames)
