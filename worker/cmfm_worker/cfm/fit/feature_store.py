"""Features of the nominal parts, extracted once and kept for every epoch: the extractors are frozen (paper § 3.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmfm_worker.cfm.extractor import PixelFeatures
from cmfm_worker.cfm.prepare import SIZE_PX

Precision = Literal["float32", "float16"]

RAM_LIMIT_BYTES = 2 * 1024**3
"""Default limit of the memory that a store takes. 50 parts of `classic` take 0.3 GB, 50 of `paper` 5 GB."""


class FeatureStore:
    """Pixel features of parts: in memory up to `ram_limit_bytes`, beyond that in files of a temporary folder.

    Features are kept in `precision` and returned as float32. The files lie in `folder`, or in the system's folder for
    temporary files. They are deleted when the context is left, or with the store.
    """

    def __init__(
        self,
        *,
        precision: Precision = "float32",
        ram_limit_bytes: int = RAM_LIMIT_BYTES,
        folder: Path | None = None,
    ) -> None:
        self.names: list[str] = []
        self.counts: list[int] = []
        self.varied: list[bool] = []
        self.context: tuple[int, int] = (0, 0)
        self.wide: tuple[int, int] = (0, 0)
        self.grid_px = 1
        self._dtype = np.dtype(precision)
        self._ram_left = ram_limit_bytes
        self._folder = folder
        self._spilled: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0
        self._parts: list[tuple[NDArray[Any], NDArray[Any]]] = []
        self._masks: list[NDArray[np.uint8]] = []  # eight pixels a byte

    def __len__(self) -> int:
        return len(self._parts)

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop all parts and delete their files."""
        self._parts.clear()
        self._masks.clear()
        self.names.clear()
        self.counts.clear()
        self.varied.clear()
        if self._spilled is not None:
            self._spilled.cleanup()
            self._spilled = None

    @property
    def widths(self) -> tuple[int, int]:
        """Return (D_2D, D_3D). Raises ValueError if the store is empty."""
        if not self._parts:
            raise ValueError("the feature store holds no part")
        e2d, e3d = self._parts[0]
        return int(e2d.shape[1]), int(e3d.shape[1])

    @property
    def own_counts(self) -> list[int]:
        """Return the pixels of each real part. `counts` also has those of variations."""
        return [count for count, varied in zip(self.counts, self.varied, strict=True) if not varied]

    def add(self, features: PixelFeatures, names: Sequence[str], *, varied: bool = False) -> None:
        """Keep the features and masks of a batch, with one name a part.

        `varied` marks variations of parts (`nominal_variation.py`), which are fitted on like real ones. Raises
        ValueError if widths, context or the number of names do not fit.
        """
        counts = features.counts
        if len(names) != len(counts):
            raise ValueError(f"{len(counts)} parts but {len(names)} names")
        widths = features.e2d.shape[1], features.e3d.shape[1]
        if self._parts and (widths, features.context) != (self.widths, self.context):
            raise ValueError(
                f"features of widths {widths} in a store of widths {self.widths}, or with other context"
            )
        self.context, self.wide, self.grid_px = features.context, features.wide, features.grid_px
        self._masks += list(np.packbits(features.mask.flatten(1).cpu().numpy(), axis=1))
        both = zip(torch.split(features.e2d, counts), torch.split(features.e3d, counts), strict=True)
        for name, (e2d, e3d) in zip(names, both, strict=True):
            self._parts.append((self._keep(e2d), self._keep(e3d)))
            self.names.append(name)
            self.counts.append(len(e2d))
            self.varied.append(varied)

    def subset(self, keep: Sequence[bool]) -> FeatureStore:
        """Return a store of some parts, one flag for each. It shares their features and must not outlive this store."""
        some = FeatureStore(precision="float16" if self._dtype == np.float16 else "float32")
        some.context, some.wide, some.grid_px = self.context, self.wide, self.grid_px
        for i, kept in enumerate(keep):
            if kept:
                some._parts.append(self._parts[i])
                some._masks.append(self._masks[i])
                some.names.append(self.names[i])
                some.counts.append(self.counts[i])
                some.varied.append(self.varied[i])
        return some

    def part(self, index: int) -> tuple[Tensor, Tensor]:
        """Return all features of a part: (P, D_2D) and (P, D_3D) float32 on the CPU."""
        e2d, e3d = self._parts[index]
        return _float32(e2d[:]), _float32(e3d[:])

    def mask(self, index: int) -> Tensor:
        """Return the pixels of a part, (1, 224, 224) bool on the CPU. Feature row p belongs to the p-th True pixel."""
        bits = np.unpackbits(self._masks[index])
        return torch.from_numpy(bits.astype(np.bool_)).view(1, SIZE_PX, SIZE_PX)

    def draw(
        self, parts: Sequence[int], pixels: int | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw at most `pixels` different pixels of each part, all with None: float32 on the CPU."""
        drawn = [self._draw_part(part, pixels, generator) for part in parts]
        return torch.cat([e2d for e2d, _ in drawn]), torch.cat([e3d for _, e3d in drawn])

    def _draw_part(self, part: int, pixels: int | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        count = self.counts[part]
        if pixels is None or pixels >= count:
            return self.part(part)
        rows = (
            torch.randperm(count, generator=generator)[:pixels].sort().values.numpy()
        )  # ascending: files read on
        e2d, e3d = self._parts[part]
        return _float32(e2d[rows]), _float32(e3d[rows])

    def _keep(self, features: Tensor) -> NDArray[Any]:
        values = features.detach().cpu().numpy().astype(self._dtype, copy=True)
        if values.nbytes <= self._ram_left:
            self._ram_left -= values.nbytes
            return values
        return self._spill(values)

    def _spill(self, values: NDArray[Any]) -> NDArray[Any]:
        if self._spilled is None:
            self._spilled = tempfile.TemporaryDirectory(prefix="cmfm-features-", dir=self._folder)
        self._files += 1
        path = Path(self._spilled.name) / f"{self._files:06d}.npy"
        np.save(path, values, allow_pickle=False)
        kept: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return kept


def _float32(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))
