"""The receiving thread: the cameras' sockets, their monitors, and the clock's tick. What messages mean: `reception`."""

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
import zmq

from cmfm_protocol.topics import topic
from cmfm_worker.curve import Keys
from cmfm_worker.errors import StartupError
from cmfm_worker.progress import Rounds
from cmfm_worker.reception import Reception
from cmfm_worker.settings import Settings
from cmfm_worker.sockets import Context
from cmfm_worker.sources import Source
from cmfm_worker.trigger import DeskEvent, SourceChanged

TICK_MS: Final = 10
"""Longest wait in the socket: lost numbers, dead cameras and a stop are noticed within it."""

BURST: Final = 64
"""Messages read between two looks at everything else."""

DRAIN_READ_S: Final = 2.0
"""How long a draining intake still reads what is queued in the socket."""


class Intake:
    """Receives until told to stop; then reads what is queued, settles what is missing, and ends."""

    def __init__(
        self,
        settings: Settings,
        context: Context,
        reception: Reception,
        post: Callable[[DeskEvent], None],
        keys: Keys,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._context = context
        self._reception = reception
        self._post = post
        self._stop = threading.Event()
        self._log = structlog.get_logger("intake")
        line = settings.line
        self._frame_topic = topic(line.name, line.station, "frame")
        self._state_topic = topic(line.name, line.station, "state")
        self._sources: list[Source] = []
        self.rounds = Rounds()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Connect to the cameras and begin receiving. Raises StartupError naming the endpoint."""
        prefixes = (self._frame_topic, self._state_topic)
        try:
            for endpoint in self._settings.sockets.frames:
                intake = self._settings.intake
                self._sources.append(Source(self._context, endpoint, intake, prefixes, self._keys))
        except StartupError:
            self._close()
            raise
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing that has not been sent yet."""
        self._stop.set()

    @property
    def running(self) -> bool:
        """Whether frames may still be accepted."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end, where it was started."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._receive()
            self._drain()
        except BaseException as error:  # the service must hear of it: a line without intake is no line
            self.failure = error
            raise
        finally:
            self.rounds.end()
            self._close()

    def _close(self) -> None:
        for source in self._sources:
            source.close()

    def _receive(self) -> None:
        poller = zmq.Poller()
        for source in self._sources:
            poller.register(source.socket, zmq.POLLIN)
            poller.register(source.monitor, zmq.POLLIN)
        self.rounds.begin(time.monotonic_ns())
        while not self._stop.is_set():
            ready = dict(poller.poll(TICK_MS))
            for source in self._sources:
                if source.socket in ready:
                    self._read(source, BURST)
                if source.monitor in ready:
                    self._report(source)
            self._reception.tick()
            self.rounds.complete(time.monotonic_ns())

    def _drain(self) -> None:
        until_s = time.monotonic() + DRAIN_READ_S
        while time.monotonic() < until_s:
            if not sum(self._read(source, 1) for source in self._sources):
                break
        self._reception.finish()

    def _read(self, source: Source, most: int) -> int:
        """Read up to `most` queued messages; returns how many there were."""
        for count in range(most):
            try:
                parts = source.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return count
            views = [part.buffer for part in parts]
            if bytes(views[0]) == self._state_topic:
                self._reception.state_message(source.endpoint, views)
            else:
                self._reception.frame_message(source.endpoint, views)
        return most

    def _report(self, source: Source) -> None:
        for alive in source.changes():
            if alive:
                self._log.info("camera_connected", endpoint=source.endpoint)
            elif self._reception.is_closing(source.endpoint):
                self._log.info("camera_closed", endpoint=source.endpoint)
            else:
                self._log.error("camera_lost", endpoint=source.endpoint)
            self._post(SourceChanged(source.endpoint, alive=alive))
