"""Where the prepared frames of a data set's parts come from: their files, or a cache made of them before.

Whatever the source, the same parts give the same batches of the same frames, bit for bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch

from cmfm_protocol.files.dataset import PartFiles
from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, prepare
from cmfm_worker.datasets.batches import Torn, read_batches


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """B parts and their prepared frames on the device; `size_px` is height and width of each of their pictures."""

    files: tuple[PartFiles, ...]
    frames: PreparedFrames
    size_px: tuple[int, int]


class PartSource(Protocol):
    """Gives prepared frames."""

    def batches(
        self,
        parts: Sequence[PartFiles],
        batch: int,
        background: BackgroundOptions,
        device: torch.device,
        torn: Torn | None = None,
    ) -> Iterator[PreparedBatch]:
        """All parts in order, at most `batch` of one size together, prepared with `background`.

        A part whose files cannot be read is told to `torn` and left out; without one, DatasetError is raised,
        naming the file. Raises InputError where the source cannot give such frames.
        """
        ...


class FileSource:
    """Implements `PartSource`: reads the parts' files and prepares them on the device."""

    def batches(
        self,
        parts: Sequence[PartFiles],
        batch: int,
        background: BackgroundOptions,
        device: torch.device,
        torn: Torn | None = None,
    ) -> Iterator[PreparedBatch]:
        """See `PartSource`."""
        for some in read_batches(parts, batch, device, torn):
            with torch.no_grad():
                frames = prepare(some.rgb, some.xyz, background)
            yield PreparedBatch(some.files, frames, some.size_px)


FROM_FILES: Final = FileSource()
"""The source where no other is named."""
