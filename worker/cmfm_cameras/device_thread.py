"""The device's thread: opens the device, takes its captures, and opens it again when it is gone.

Wrong settings end the thread at the first opening. Once the device was open its settings were right: a device that then
refuses one is on its way back, and is tried again.
"""

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cmfm_cameras.capture import Capture, check_capture
from cmfm_cameras.device import Device
from cmfm_cameras.errors import DeviceError, InputError, RefusedCaptureError, SourceEndedError
from cmfm_cameras.numbering import FrameIds
from cmfm_protocol.clock import Clock, SystemClock

QUEUED_EVENTS: Final = 4
"""Events that wait for the publisher. Beyond that the device's own buffers fill, and it counts what it loses."""

CAPTURE_WAIT_S: Final = 0.25
"""Longest wait for a frame: within it the thread sees that it is to end."""

FIRST_PAUSE_S: Final = 0.25
JOIN_LIMIT_S: Final = 3.0
"""How long the end of the process waits for a driver's call to return."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The device was opened."""

    name: str
    frame_ids: FrameIds


@dataclass(frozen=True, slots=True)
class Arrived:
    """A capture that may be published. `arrived_ns` is CLOCK_REALTIME when the driver handed it over."""

    capture: Capture
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A capture that may not be published."""

    error: RefusedCaptureError
    arrived_ns: int


@dataclass(frozen=True, slots=True)
class DeviceLost:
    """The device is gone, or could not be opened; it will be tried again."""

    detail: str
    was_open: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The source has no more captures. With `error` the thread ended because of it."""

    error: Exception | None = None


DeviceEvent = Opened | Arrived | Refused | DeviceLost | Ended


class DeviceThread:
    """Runs one device; `next_event` gives what happened, in order."""

    def __init__(
        self, open_device: Callable[[], Device], *, reopen_max_s: float, clock: Clock | None = None
    ) -> None:
        self._open_device = open_device
        self._reopen_max_s = reopen_max_s
        self._clock = clock or SystemClock()
        self._events: queue.Queue[DeviceEvent] = queue.Queue(QUEUED_EVENTS)
        self._stopping = threading.Event()
        self._reopen = threading.Event()
        self._call_began_s: float | None = None
        self._present: Device | None = None
        self._counted: Counter[str] = Counter()  # by devices that are closed
        self._thread = threading.Thread(target=self._run, name="device", daemon=True)

    def start(self) -> None:
        """Start the thread, which opens the device."""
        self._thread.start()

    def next_event(self, timeout_s: float) -> DeviceEvent | None:
        """Return the next event, or None if none came in time."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def reopen(self) -> None:
        """Close the device and open it again as soon as its present call returns."""
        self._reopen.set()

    def call_age_s(self) -> float:
        """Return for how long the present call into the driver has lasted; 0 between calls."""
        began_s = self._call_began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def device_counts(self) -> dict[str, int]:
        """Return what the device counts by itself (`counts`), over all openings. Any thread may call it."""
        return dict(self._counted + counts_of(self._present))

    def stop(self) -> bool:
        """End the thread, which closes the device. False if a call into the driver does not return."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_LIMIT_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._openings()
        except SourceEndedError:
            self._put(Ended())
        except Exception as error:  # noqa: BLE001 (the main thread raises it)
            self._put(Ended(error))

    def _openings(self) -> None:
        pause_s = FIRST_PAUSE_S
        was_ever_open = False
        while not self._stopping.is_set():
            was_open = False
            try:
                with self._call():
                    device = self._open_device()
                was_open = was_ever_open = True
                self._present = device
                try:
                    self._put(Opened(device.name, device.frame_ids))
                    pause_s = FIRST_PAUSE_S
                    self._captures(device)
                finally:
                    self._counted, self._present = self._counted + counts_of(device), None
                    with self._call():
                        device.close()
            except (DeviceError, InputError) as error:
                if isinstance(error, InputError) and not was_ever_open:
                    raise
                self._put(DeviceLost(str(error), was_open))
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, self._reopen_max_s)

    def _captures(self, device: Device) -> None:
        self._reopen.clear()
        while not self._stopping.is_set():
            if self._reopen.is_set():
                raise DeviceError("opened again, because its frame ids cannot be believed")
            try:
                with self._call():
                    capture = device.capture(CAPTURE_WAIT_S)
                if capture is not None:
                    arrived_ns = self._clock.realtime_ns()
                    check_capture(capture)
                    self._put(Arrived(capture, arrived_ns))
            except RefusedCaptureError as error:
                self._put(Refused(error, self._clock.realtime_ns()))

    @contextlib.contextmanager
    def _call(self) -> Iterator[None]:
        self._call_began_s = time.monotonic()
        try:
            yield
        finally:
            self._call_began_s = None

    def _put(self, event: DeviceEvent) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=CAPTURE_WAIT_S)
                return


def counts_of(device: Device | None) -> Counter[str]:
    """Return a device's own counts by name; nothing of a device that has none."""
    return Counter(getattr(device, "counts", None) or {})
