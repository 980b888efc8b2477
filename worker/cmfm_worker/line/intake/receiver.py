"""The receiving thread: the cameras' sockets, their monitors, the line's own count of triggers, and the clock's tick.

What messages mean: `reception`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import zmq

from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_worker.errors import StartupError
from cmfm_worker.line.health.liveness import CompletedTurns
from cmfm_worker.line.intake.admission import Admission
from cmfm_worker.line.intake.camera_sockets import Source
from cmfm_worker.line.messages import BookEvent, SourceChanged
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.sockets import Context
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.settings.model import Settings

TICK_MS: Final = 10
"""Longest wait in the socket: lost numbers, dead cameras and a stop are noticed within it."""

BURST: Final = 64
"""Messages read between two looks at everything else."""

DRAIN_READ_S: Final = 2.0
"""How long a draining intake still reads what is queued in the socket."""

NOT_NOW: Final = "the worker is starting or draining and accepts no parts now"

Done = Callable[[str | None], None]
"""Told why something was refused, or None where it was done."""


class Receiver:
    """Receives until told to stop; then reads what is queued, settles what is missing, and ends."""

    def __init__(
        self,
        settings: Settings,
        context: Context,
        reception: Admission,
        post: Callable[[BookEvent], None],
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
        self._meaning: dict[bytes, Callable[[str, Sequence[memoryview]], None]] = {
            topic(line.name, line.station, "frame"): reception.frame_message,
            topic(line.name, line.station, "trigger"): reception.trigger_message,
            topic(line.name, line.station, "state"): reception.state_message,
        }
        self._counts: WakeableQueue[tuple[TriggerMessage, Done]] = WakeableQueue()
        self._sources: list[Source] = []
        self.rounds = CompletedTurns()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Connect to the cameras and begin receiving. Raises StartupError naming the endpoint."""
        prefixes = tuple(self._meaning)
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

    def announce(self, message: TriggerMessage, done: Done) -> None:
        """The line's own count of triggers, from any thread; `done` hears what became of it."""
        if self._thread.is_alive() and not self._stop.is_set():
            self._counts.post((message, done))
        else:
            done(NOT_NOW)

    @property
    def running(self) -> bool:
        """Whether frames may still be accepted."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end; where it was never started, close what was opened for it."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        else:
            self._close()

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
        while self._sources:
            self._sources.pop().close()
        if self._counts.fileno() >= 0:  # not closed before
            for _, done in self._counts.collect():
                done(NOT_NOW)
            self._counts.close()

    def _receive(self) -> None:
        poller = zmq.Poller()
        for source in self._sources:
            poller.register(source.socket, zmq.POLLIN)
            poller.register(source.monitor, zmq.POLLIN)
        self.rounds.begin(time.monotonic_ns())
        poller.register(self._counts.fileno(), zmq.POLLIN)
        while not self._stop.is_set():
            ready = dict(poller.poll(TICK_MS))
            for source in self._sources:
                if source.socket in ready:
                    self._read(source, BURST)
                if source.monitor in ready:
                    self._report(source)
            for message, done in self._counts.collect():
                done(self._reception.announce(message))
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
            take = self._meaning.get(bytes(views[0]), self._reception.frame_message)
            take(source.endpoint, views)
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
