"""The device seam: how frames reach the device and when their results are back. Nothing else differs.

On CUDA, batch n+1 is copied from page-locked memory on the copy stream while batch n computes on the compute
stream; an event orders the two. On the CPU there is nothing to copy and the seam does nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from cmfm_worker.cfm.fast.precision import Precision, as_precision, automatic, why_not
from cmfm_worker.errors import InputError


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Frames on the device; `ready` orders the computation after their copies (None on the CPU)."""

    rgb: tuple[torch.Tensor, ...]
    xyz: tuple[torch.Tensor, ...]
    ready: torch.cuda.Event | None


class DeviceSeam(Protocol):
    """What the loop needs of a device."""

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        ...

    @property
    def overlaps(self) -> bool:
        """Whether the device computes on after a computation has been issued."""
        ...

    def upload(self, rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]) -> Uploaded:
        """Begin copying frames from the ring; returns before they have arrived."""
        ...

    def computing(self, uploaded: Uploaded) -> AbstractContextManager[None]:
        """Context in which the computation on `uploaded` is issued; who reads its results waits for them."""
        ...


class CpuSeam:
    """Frames are used where they lie in the ring."""

    device = torch.device("cpu")
    overlaps = False

    def upload(self, rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]) -> Uploaded:
        """Hand the views through."""
        return Uploaded(tuple(rgb), tuple(xyz), ready=None)

    @contextmanager
    def computing(self, uploaded: Uploaded) -> Iterator[None]:  # noqa: ARG002 (the seam's signature)
        """Nothing to order on the CPU."""
        yield


class CudaSeam:
    """A copy stream and a compute stream on one CUDA device."""

    overlaps = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._copy = torch.cuda.Stream(device)
        self._compute = torch.cuda.Stream(device)

    def upload(self, rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]) -> Uploaded:
        """Asynchronous copies on the copy stream; an event marks their end."""
        with torch.cuda.stream(self._copy):
            on_device_rgb = tuple(self._copied(t) for t in rgb)
            on_device_xyz = tuple(self._copied(t) for t in xyz)
            ready = torch.cuda.Event()
            ready.record(self._copy)
        return Uploaded(on_device_rgb, on_device_xyz, ready)

    @contextmanager
    def computing(self, uploaded: Uploaded) -> Iterator[None]:
        """Issue on the compute stream, after the copies."""
        with torch.cuda.stream(self._compute):
            if uploaded.ready is not None:
                self._compute.wait_event(uploaded.ready)
            yield

    def _copied(self, tensor: torch.Tensor) -> torch.Tensor:
        copied = tensor.to(self.device, non_blocking=True)
        copied.record_stream(self._compute)  # allocated on the copy stream, freed after its use on the other
        return copied


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a torch device. Raises InputError where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"device {name!r}: torch {torch.__version__} sees no CUDA device here; use auto or cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name!r}: there are only {torch.cuda.device_count()} CUDA devices")
    return device


def choose_precision(name: str, device: torch.device) -> Precision:
    """A precision by name, `auto` included, for a device. Raises InputError saying why where it does not pay."""
    if name == "auto":
        return automatic(device)
    precision = as_precision(name)
    reason = why_not(precision, device)
    if reason is not None:
        raise InputError(f"precision {name!r}: {reason}")
    return precision


def seam_for(device: torch.device) -> DeviceSeam:
    """The seam of a device."""
    return CudaSeam(device) if device.type == "cuda" else CpuSeam()
