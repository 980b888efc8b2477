"""The sources of prepared frames of a data set's parts: the parts' files, or a cache made from them before.

Every source gives the same batches of the same frames for the same parts, bit for bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import torch

from cmfm_protocol.files.dataset import PartFiles
from cmfm_protocol.wire.points import PointFacts
from cmfm_worker.cfm.prepare import BackgroundOptions, PreparedFrames, prepare
from cmfm_worker.datasets.batches import Torn, read_batches


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """B parts and their prepared frames on the device; `size_px` is height and width of their pictures, `points`
    what the points of each file were like."""

    files: tuple[PartFiles, ...]
    frames: PreparedFrames
    size_px: tuple[int, int]
    points: tuple[PointFacts, ...]


class PartSource(Protocol):
    """Yields prepared frames of parts."""

    def batches(
        self,
        parts: Sequence[PartFiles],
        batch: int,
        background: BackgroundOptions,
        device: torch.device,
        torn: Torn | None = None,
    ) -> Iterator[PreparedBatch]:
        """Yield all parts in order, at most `batch` of one size together, prepared with `background`.

        A part whose files cannot be read is left out and reported to `torn`; with `torn` None DatasetError is raised,
        naming the file. Raises InputError if the source does not have such frames.
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
            yield PreparedBatch(some.files, frames, some.size_px, some.points)


FROM_FILES: Final = FileSource()
"""The default source."""
