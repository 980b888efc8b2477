"""The ring of preallocated frame buffers between intake and the loop.

Each frame is copied once, from the message into a slot. With CUDA the slots are page-locked, so that the copy to the
device runs beside the computation. The ring never drops a frame by itself: `shed` hands a frame that is too late to
the caller, who gives it its FAULT.
"""

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from cmfm_protocol.wire.frame import Frame
from cmfm_protocol.wire.verdict import Reason
from cmfm_worker.line.health.malloc import LARGEST_KEPT
from cmfm_worker.line.messages import Closed, Trigger, fault

if TYPE_CHECKING:
    from cmfm_worker.line.messages import LineRecipe

XYZ_BYTES_PER_PIXEL: Final = 3 * 4
BYTES_PER_PIXEL: Final = 3 + XYZ_BYTES_PER_PIXEL
"""uint8 RGB and float32 XYZ."""

ALIGNMENT: Final = 64
"""XYZ starts on a cache line."""


def heap_bytes(pixels: int) -> int:
    """Return the bytes of the C library's heap that a received frame takes. A large XYZ array lies outside of it."""
    return pixels * BYTES_PER_PIXEL if pixels * XYZ_BYTES_PER_PIXEL <= LARGEST_KEPT else 0


@dataclass(frozen=True, slots=True)
class FilledSlot:
    """A frame in the ring: rgb (H, W, 3) uint8, xyz (H, W, 3) float32 metres, both views into the slot."""

    index: int
    trigger: Trigger
    model: "LineRecipe"  # fixed at admission: one model a verdict, whatever is reloaded meanwhile
    rgb: torch.Tensor
    xyz: torch.Tensor
    ready_ns: int  # CLOCK_MONOTONIC


def as_shed(slot: FilledSlot) -> Closed:
    """Return the FAULT of a frame that was taken out because it could not be inspected by its deadline."""
    detail = "shed: too late to be inspected by its deadline"
    return Closed(slot.trigger.key, fault(Reason.DEADLINE, detail, model_sha=slot.model.sha), noticed="shed")


class Ring:
    """`slots` buffers of `max_pixels` each. The intake claims and fills, the loop takes and releases.

    In each slot the memory for a frame of `expected_pixels` is touched at once, so that a backlog never makes the
    process grow. The rest of a slot is untouched until a larger frame comes. Pinned memory is taken whole.
    """

    def __init__(self, *, slots: int, max_pixels: int, pinned: bool, expected_pixels: int = 0) -> None:
        self.max_pixels = max_pixels
        size = max_pixels * BYTES_PER_PIXEL + ALIGNMENT
        self._buffers = [torch.empty(size, dtype=torch.uint8, pin_memory=pinned) for _ in range(slots)]
        for buffer in self._buffers:
            buffer[: expected_pixels * BYTES_PER_PIXEL + ALIGNMENT].zero_()
        self._free = deque(range(slots))
        self._ready: deque[FilledSlot] = deque()
        self._condition = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._buffers)

    @property
    def free(self) -> int:
        """Number of slots without a frame."""
        return len(self._free)

    @property
    def waiting(self) -> int:
        """Number of frames that the loop has not taken yet."""
        return len(self._ready)

    def claim(self) -> int | None:
        """Return the index of a free slot, or None when all are in use."""
        with self._condition:
            return self._free.popleft() if self._free else None

    def shed(self, hopeless_before_ns: int) -> FilledSlot | None:
        """Take out the waiting frame that is due first, if it can no longer be inspected by its deadline.

        `hopeless_before_ns` (CLOCK_MONOTONIC) is when a frame launched now would be decided. The slot stays claimed
        by the caller, who owes the frame a FAULT (`as_shed`).
        """
        with self._condition:
            worst = min(self._ready, key=lambda slot: slot.trigger.deadline_ns, default=None)
            if worst is None or worst.trigger.deadline_ns > hopeless_before_ns:
                return None
            self._ready.remove(worst)
            return worst

    def fill(self, index: int, frame: Frame, trigger: Trigger, model: "LineRecipe", now_ns: int) -> None:
        """Copy a validated frame into a claimed slot, the one copy on the host, and hand it to the loop."""
        rgb, xyz = self._views(index, frame.rgb.shape[0], frame.rgb.shape[1])
        np.copyto(rgb.numpy(), frame.rgb)
        np.copyto(xyz.numpy(), frame.xyz)
        with self._condition:
            self._ready.append(FilledSlot(index, trigger, model, rgb, xyz, now_ns))
            self._condition.notify()

    def take(self, *, timeout_s: float) -> FilledSlot | None:
        """Take the oldest waiting frame. Waits up to `timeout_s` for one; None if none came."""
        with self._condition:
            if not self._ready and not self._closed:
                self._condition.wait(timeout_s)
            return self._ready.popleft() if self._ready else None

    def put_back(self, slot: FilledSlot) -> None:
        """Return a frame just taken to the front of the queue."""
        with self._condition:
            self._ready.appendleft(slot)

    def release(self, index: int) -> None:
        """Free a slot."""
        with self._condition:
            self._free.append(index)

    def wake(self) -> None:
        """Make `take` return at once from now on, because the line is draining."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def fits(self, height: int, width: int) -> bool:
        """Tell whether a frame of this size has room in a slot."""
        return height * width <= self.max_pixels

    def _views(self, index: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = height * width
        start = -(-pixels * 3 // ALIGNMENT) * ALIGNMENT
        buffer = self._buffers[index]
        rgb = buffer[: pixels * 3].view(height, width, 3)
        xyz = buffer[start : start + pixels * XYZ_BYTES_PER_PIXEL].view(torch.float32).view(height, width, 3)
        return rgb, xyz
