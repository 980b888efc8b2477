"""Parts of a data set, read ahead of the computation and put together into batches of one size."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cmfm_protocol.dataset import PartFiles, read_part

Images = tuple[NDArray[np.uint8], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class PartBatch:
    """B parts of one size: `rgb` (B, H, W, 3) uint8 and `xyz` (B, H, W, 3) float32 metres on the device."""

    files: tuple[PartFiles, ...]
    rgb: Tensor
    xyz: Tensor

    @property
    def size_px(self) -> tuple[int, int]:
        """Height and width of the frames."""
        return self.rgb.shape[1], self.rgb.shape[2]


def read_batches(files: Sequence[PartFiles], batch: int, device: torch.device) -> Iterator[PartBatch]:
    """All parts in order, at most `batch` of one size together. Raises DatasetError naming a torn file."""
    held: list[tuple[PartFiles, Images]] = []
    for part, images in _read_ahead(files, depth=2 * batch):
        if held and (len(held) == batch or images[0].shape != held[0][1][0].shape):
            yield _stack(held, device)
            held = []
        held.append((part, images))
    if held:
        yield _stack(held, device)


def to_frames(images: Sequence[Images], device: torch.device) -> tuple[Tensor, Tensor]:
    """RGB and XYZ pictures of one size as the two tensors of a batch."""
    rgb = torch.from_numpy(np.stack([rgb for rgb, _ in images]))
    xyz = torch.from_numpy(np.stack([xyz for _, xyz in images]))
    return rgb.to(device), xyz.to(device)


def _stack(held: Sequence[tuple[PartFiles, Images]], device: torch.device) -> PartBatch:
    rgb, xyz = to_frames([images for _, images in held], device)
    return PartBatch(tuple(part for part, _ in held), rgb, xyz)


def _read_ahead(files: Sequence[PartFiles], depth: int) -> Iterator[tuple[PartFiles, Images]]:
    """Decoding (which leaves the interpreter's lock) runs beside the computation, `depth` parts ahead."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="read-parts")
    ahead: deque[tuple[PartFiles, Future[Images]]] = deque()
    try:
        for part in files:
            ahead.append((part, pool.submit(read_part, part)))
            if len(ahead) > depth:
                first, images = ahead.popleft()
                yield first, images.result()
        while ahead:
            first, images = ahead.popleft()
            yield first, images.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
