"""A camera in a thread of its own: open loop at a rate, or closed loop with a number of parts in flight."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_protocol.clock import NS_PER_S, SystemClock
from cmfm_sim.conveyor import Conveyor

from .frames import Parts
from .tally import Tally

LEAD_S: Final = 0.25
SUBSCRIBER_LIMIT_S: Final = 120.0
IDLE_S: Final = 0.05


@dataclass(slots=True, eq=False)
class Run:
    """A run of the camera: `rate_hz` triggers a second; 0: as fast as verdicts come, with `window` parts in flight.

    `recipe_of` a seq names the header's recipe. `first` and `end` are set to the run's triggers.
    """

    rate_hz: float
    seconds: float
    deadline_ms: float
    window: int = 0
    recipe_of: Callable[[int], str] = lambda _seq: ""
    first: int = 0
    end: int = 0
    lateness_ms: float = 0.0  # the camera's own worst lateness
    stop: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


class Feed:
    """Fires one run after the other in the thread "camera". Call `verdict` for each part that has one. Close it."""

    def __init__(self, endpoint: str, parts: Parts, tally: Tally) -> None:
        self.failure: BaseException | None = None
        self._endpoint = endpoint
        self._parts = parts
        self._tally = tally
        self._clock = SystemClock()
        self._runs: queue.SimpleQueue[Run | None] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)
        self._closing = threading.Event()
        self._in_order = True
        self._thread = threading.Thread(target=self._main, name="camera", daemon=True)
        self._thread.start()

    def start(self, run: Run) -> Run:
        """Add a run."""
        self._runs.put(run)
        return run

    def verdict(self) -> None:
        """Let the next part go in a closed loop: one has its verdict."""
        self._free.release()

    def close(self, *, in_order: bool = True) -> None:
        """End the camera; `in_order` with a closing heartbeat to the worker."""
        self._in_order = in_order
        self._closing.set()
        self._runs.put(None)
        self._thread.join()

    def _main(self) -> None:
        try:
            with Camera(CameraOptions(self._endpoint), self._clock) as camera:
                self._tally.stream_uuid = camera.stream_uuid
                camera.wait_for_subscriber(SUBSCRIBER_LIMIT_S, self._closing.is_set)
                self._serve(camera)
                if not self._in_order:
                    camera.close(in_order=False)
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that asks)
            self.failure = error

    def _serve(self, camera: Camera) -> None:
        while True:
            try:
                run = self._runs.get_nowait()
            except queue.Empty:
                camera.rest(IDLE_S)
                continue
            if run is None:
                return
            self._fire(camera, run)

    def _fire(self, camera: Camera, run: Run) -> None:
        run.first = run.end = len(self._tally)
        try:
            self._closed_loop(camera, run) if run.window else self._open_loop(camera, run)
        finally:
            run.ended.set()

    def _open_loop(self, camera: Camera, run: Run) -> None:
        """Fire triggers at start + i·period, independent of earlier ones."""
        conveyor = Conveyor(run.rate_hz, self._clock, camera.rest)
        conveyor.start(LEAD_S)
        for index in range(int(run.seconds * run.rate_hz)):
            if not conveyor.wait_until(conveyor.due_ns(index), self._stopped(run)):
                return
            self._send(camera, run, conveyor.trigger_ns(index))
            run.lateness_ms = max(run.lateness_ms, conveyor.lateness_ms(index))

    def _closed_loop(self, camera: Camera, run: Run) -> None:
        until_ns = self._clock.monotonic_ns() + int(run.seconds * NS_PER_S)
        while self._free.acquire(blocking=False):
            pass
        self._free.release(run.window)
        stopped = self._stopped(run)
        while self._clock.monotonic_ns() < until_ns and not stopped():
            if self._free.acquire(timeout=IDLE_S):
                self._send(camera, run, time.time_ns())
            camera.rest(0)

    def _send(self, camera: Camera, run: Run, trigger_ns: int) -> None:
        seq = self._tally.fire(trigger_ns, run.deadline_ms)
        run.end = seq + 1
        part = self._parts.of(seq)
        message = part.message(
            stream_uuid=camera.stream_uuid,
            seq=seq,
            part_id=f"{part.name}#{seq}",
            trigger_ns=trigger_ns,
            deadline_ms=run.deadline_ms,
            recipe=run.recipe_of(seq),
            pub_drops=camera.pub_drops,
        )
        if not camera.send(seq, message):
            self._tally.not_sent(seq)

    def _stopped(self, run: Run) -> Callable[[], bool]:
        return lambda: run.stop.is_set() or self._closing.is_set()
