"""Reads parts of a data set ahead of the computation and groups them into batches of one size."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmfm_protocol.files.dataset import DatasetError, PartFiles, read_part
from cmfm_protocol.wire.points import PointFacts, point_facts

Images = tuple[NDArray[np.uint8], NDArray[np.float32]]

Torn = Callable[[PartFiles, DatasetError], None]
"""Called with each part whose files cannot be read, in order; the other parts follow."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PartBatch:
    """B parts of one size: `rgb` (B, H, W, 3) uint8 and `xyz` (B, H, W, 3) float32 metres on the device."""

    files: tuple[PartFiles, ...]
    rgb: Tensor
    xyz: Tensor
    points: tuple[PointFacts, ...]

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self.rgb.shape[1], self.rgb.shape[2]


def read_batches(
    files: Sequence[PartFiles], batch: int, device: torch.device, torn: Torn | None = None
) -> Iterator[PartBatch]:
    """Yield all parts in order, at most `batch` of one size together.

    A part that cannot be read is left out and reported to `torn`; with `torn` None DatasetError is raised, naming the
    file.
    """
    for some in batched(_readable(files, 2 * batch, torn), batch, lambda held: held[1][0].shape[:2]):
        rgb, xyz = to_frames([images for _, images in some], device)
        facts = tuple(point_facts(points) for _, (_, points) in some)
        yield PartBatch(tuple(part for part, _ in some), rgb, xyz, facts)


def batched(
    items: Iterable[Item], batch: int, size_px: Callable[[Item], tuple[int, ...]]
) -> Iterator[list[Item]]:
    """Yield the items in order, at most `batch` of one size together."""
    held: list[Item] = []
    for item in items:
        if held and (len(held) == batch or size_px(item) != size_px(held[0])):
            yield held
            held = []
        held.append(item)
    if held:
        yield held


def to_frames(images: Sequence[Images], device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack RGB and XYZ pictures of one size into the two tensors of a batch."""
    rgb = torch.from_numpy(np.stack([rgb for rgb, _ in images]))
    xyz = torch.from_numpy(np.stack([xyz for _, xyz in images]))
    return rgb.to(device), xyz.to(device)


def _readable(
    files: Sequence[PartFiles], depth: int, torn: Torn | None
) -> Iterator[tuple[PartFiles, Images]]:
    with closing(_read_ahead(files, depth)) as ahead:
        for part, images in ahead:
            try:
                read = images.result()
            except DatasetError as error:
                if torn is None:
                    raise
                torn(part, error)
            else:
                yield part, read


def _read_ahead(
    files: Sequence[PartFiles], depth: int
) -> Generator[tuple[PartFiles, Future[Images]], None, None]:
    """Yield each part with the future of its pictures. They are decoded `depth` parts ahead, without the GIL."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-parts")
    ahead: deque[tuple[PartFiles, Future[Images]]] = deque()
    try:
        for part in files:
            ahead.append((part, pool.submit(read_part, part)))
            if len(ahead) > depth:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
