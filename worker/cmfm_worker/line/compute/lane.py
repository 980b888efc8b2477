"""The lane: one device, and the threads that copy batches to it, compute on it and read its results."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from cmfm_worker.line.compute.device import DeviceSeam, Uploaded
from cmfm_worker.line.intake.ring import FilledSlot
from cmfm_worker.line.messages import Decision

Decide = Callable[[], list[Decision]]
"""Waits for a batch that was issued, and decides its parts."""


class BatchInspector(Protocol):
    """Inspects a batch of frames (on a line: `LineInspector`)."""

    def inspect(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> list[Decision]:
        """Return one decision a slot, in order. `rgb` and `xyz` lie on the device."""
        ...


@runtime_checkable
class StagedInspector(BatchInspector, Protocol):
    """A batch inspector that can issue a batch before the results of the previous one are back."""

    def begin(
        self, slots: Sequence[FilledSlot], rgb: Sequence[torch.Tensor], xyz: Sequence[torch.Tensor]
    ) -> Decide:
        """Issue the whole computation; the returned function may be called in any thread."""
        ...


class Flight(NamedTuple):
    """A batch whose computation has been launched."""

    slots: tuple[FilledSlot, ...]
    decisions: Future[list[Decision]]


class Lane:
    """Copies, computes and decides batches in order, each step in its own thread.

    The threads are daemons, so that the process can end while one of them hangs in the device. The third
    thread, "decide", exists only if the device computes on after a batch has been issued (CUDA) and the
    inspector is staged: it waits for results while "compute" issues the next batch.

    On a CPU the thread "compute" alone uses several OpenMP threads: `threads`, or as many as torch gives the
    thread that makes the lane. All other threads of the process should have one each (`open_line` sees to
    that): every thread that computes with several has an OpenMP pool of its own, and if all pools together
    have more threads than there are processors, libgomp lets them sleep between any two operations, and a
    part takes twice as long.
    """

    def __init__(self, seam: DeviceSeam, inspector: BatchInspector, threads: int | None = None) -> None:
        self._seam = seam
        self._inspector = inspector
        self._staged = inspector if seam.overlaps and isinstance(inspector, StagedInspector) else None
        self._launched: queue.SimpleQueue[Flight | None] = queue.SimpleQueue()
        self._uploaded: queue.SimpleQueue[tuple[Flight, Uploaded] | None] = queue.SimpleQueue()
        self._issued: queue.SimpleQueue[tuple[Flight, Decide] | None] = queue.SimpleQueue()
        work = [(self._copy, "copy"), (self._compute, "compute")]
        if self._staged is not None:
            work.append((self._decide, "decide"))
        self._threads = [threading.Thread(target=run, name=name, daemon=True) for run, name in work]
        makers_threads = torch.get_num_threads()
        self._cpu_threads = threads or makers_threads
        self._cpu_threads_set = threading.Event()
        self._closed = False
        for thread in self._threads:
            thread.start()
        self._cpu_threads_set.wait()
        torch.set_num_threads(makers_threads)  # threads that begin later take over what was set last

    def launch(self, slots: tuple[FilledSlot, ...]) -> Flight:
        """Begin to copy and compute a batch; returns at once. A failed copy counts as a failed computation."""
        flight = Flight(slots, Future())
        self._launched.put(flight)
        return flight

    @property
    def running(self) -> bool:
        """Whether a thread of the lane is alive, so that something may still be computed."""
        return any(thread.is_alive() for thread in self._threads)

    def close(self, *, timeout_s: float | None = None) -> None:
        """End the threads after what is in flight; a thread that takes longer than `timeout_s` is left behind.

        A second call does nothing, so that a thread left behind is not waited for again.
        """
        if self._closed:
            return
        self._closed = True
        self._launched.put(None)
        for thread in self._threads:
            thread.join(timeout_s)

    def _copy(self) -> None:
        for flight in iter(self._launched.get, None):
            slots = flight.slots
            try:
                uploaded = self._seam.upload([slot.rgb for slot in slots], [slot.xyz for slot in slots])
            except BaseException as error:  # noqa: BLE001 (`conclude` tells a full device from a lost one)
                flight.decisions.set_exception(error)
            else:
                self._uploaded.put((flight, uploaded))
                del uploaded
            del flight, slots  # otherwise the last batch would be held until the next
        self._uploaded.put(None)

    def _compute(self) -> None:
        torch.get_num_threads()  # before its first use of it, torch gives a thread what was set last in any thread
        torch.set_num_threads(self._cpu_threads)
        self._cpu_threads_set.set()
        for flight, uploaded in iter(self._uploaded.get, None):
            try:
                self._inspect(flight, uploaded)
            except BaseException as error:  # noqa: BLE001 (`conclude` makes it a FAULT or raises it)
                flight.decisions.set_exception(error)
            del flight, uploaded  # otherwise the last batch would be held until the next
        self._issued.put(None)

    def _inspect(self, flight: Flight, uploaded: Uploaded) -> None:
        with torch.inference_mode(), self._seam.computing(uploaded):
            if self._staged is None:
                decisions = self._inspector.inspect(flight.slots, uploaded.rgb, uploaded.xyz)
                flight.decisions.set_result(decisions)
            else:
                self._issued.put((flight, self._staged.begin(flight.slots, uploaded.rgb, uploaded.xyz)))

    def _decide(self) -> None:
        for flight, decide in iter(self._issued.get, None):
            try:
                flight.decisions.set_result(decide())
            except BaseException as error:  # noqa: BLE001 (as above)
                flight.decisions.set_exception(error)
            del flight, decide
