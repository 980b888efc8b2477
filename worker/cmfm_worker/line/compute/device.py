"""The device seam: how frames reach the device. Everything else is the same on CPU and CUDA.

On CUDA, batch n+1 is copied from page-locked memory on the copy stream while batch n computes on the compute
stream. An event orders the two streams on the device, so neither method here makes the host wait for the device. The
host waits only where it reads numbers back (cfm/fast/read_back.py). On the CPU there is nothing to copy.
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
    """The operations of a device that the lane needs."""

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        ...

    @property
    def overlaps(self) -> bool:
        """Whether the device computes on after a computation has been issued."""
        ...

    def upload(self, rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]) -> Uploaded:
        """Begin to copy frames from the ring; returns before they have arrived."""
        ...

    def computing(self, uploaded: Uploaded) -> AbstractContextManager[None]:
        """Context in which the computation on `uploaded` is issued; whoever reads its results waits for them."""
        ...


class CpuSeam:
    """The CPU: frames are used where they lie in the ring."""

    device = torch.device("cpu")
    overlaps = False

    def upload(self, rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]) -> Uploaded:
        """Return the views unchanged."""
        return Uploaded(tuple(rgb), tuple(xyz), ready=None)

    @contextmanager
    def computing(self, uploaded: Uploaded) -> Iterator[None]:  # noqa: ARG002 (the seam's signature)
        """Do nothing: there is no order to keep."""
        yield


class CudaSeam:
    """One CUDA device with a copy stream and a compute stream."""

    overlaps = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._copy = torch.cuda.Stream(device)
        self._compute = torch.cuda.Stream(device)

    def upload(self, rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]) -> Uploaded:
        """Copy asynchronously on the copy stream; an event marks the end."""
        with torch.cuda.stream(self._copy):
            on_device_rgb = tuple(self._copied(t) for t in rgb)
            on_device_xyz = tuple(self._copied(t) for t in xyz)
            ready = torch.cuda.Event()
            ready.record(self._copy)
        return Uploaded(on_device_rgb, on_device_xyz, ready)

    @contextmanager
    def computing(self, uploaded: Uploaded) -> Iterator[None]:
        """Issue on the compute stream, behind the copies."""
        with torch.cuda.stream(self._compute):
            if uploaded.ready is not None:
                self._compute.wait_event(uploaded.ready)
            yield

    def _copied(self, tensor: torch.Tensor) -> torch.Tensor:
        copied = tensor.to(self.device, non_blocking=True)
        copied.record_stream(self._compute)  # allocated on one stream, freed after its use on the other
        return copied


def choose_device(name: str) -> torch.device:
    """Return `auto`, `cpu`, `cuda` or `cuda:N` as a torch device. Raises InputError if torch does not see it."""
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
    """Return a precision by name, `auto` included. Raises InputError with the reason if it does not pay on `device`."""
    if name == "auto":
        return automatic(device)
    precision = as_precision(name)
    reason = why_not(precision, device)
    if reason is not None:
        raise InputError(f"precision {name!r}: {reason}")
    return precision


def seam_for(device: torch.device) -> DeviceSeam:
    """Return the seam of a device."""
    return CudaSeam(device) if device.type == "cuda" else CpuSeam()
