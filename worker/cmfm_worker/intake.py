"""The receiving thread: one SUB socket, its monitor, and the clock's tick. What messages mean is in `reception`."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import zmq

from cmfm_protocol.limits import MAX_MESSAGE_BYTES
from cmfm_protocol.topics import topic
from cmfm_worker.reception import Reception
from cmfm_worker.settings import Settings
from cmfm_worker.sockets import Context, Socket, subscriber
from cmfm_worker.sources import Sources
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
        self, settings: Settings, context: Context, reception: Reception, post: Callable[[DeskEvent], None]
    ) -> None:
        self._settings = settings
        self._context = context
        self._reception = reception
        self._post = post
        self._stop = threading.Event()
        self._log = structlog.get_logger("intake")
        line = settings.line
        self._frame_topic = topic(line.name, line.station, "frame")
        self._state_topic = topic(line.name, line.station, "state")
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Connect to the cameras and begin receiving."""
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing that has not been sent yet."""
        self._stop.set()

    @property
    def running(self) -> bool:
        """Whether frames may still be accepted."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # the service must hear of it: a line without intake is no line
            self.failure = error
            raise

    def _serve(self) -> None:
        intake, endpoints = self._settings.intake, self._settings.sockets.frames
        socket = subscriber(
            self._context,
            receive_hwm=intake.receive_hwm,
            heartbeat_ms=intake.heartbeat_ms,
            max_bytes=MAX_MESSAGE_BYTES,
        )
        sources = Sources(socket, endpoints)
        try:
            self._connect(socket, endpoints)
            self._receive(socket, sources)
            self._drain(socket)
        finally:
            sources.close()
            socket.close(0)

    def _connect(self, socket: Socket, endpoints: Sequence[str]) -> None:
        for prefix in (self._frame_topic, self._state_topic):
            socket.setsockopt(zmq.SUBSCRIBE, prefix)
        for endpoint in endpoints:
            socket.connect(endpoint)

    def _receive(self, socket: Socket, sources: Sources) -> None:
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(sources.monitor, zmq.POLLIN)
        while not self._stop.is_set():
            ready = dict(poller.poll(TICK_MS))
            if socket in ready:
                self._read(socket, BURST)
            if sources.monitor in ready:
                self._report(sources)
            self._reception.tick()

    def _drain(self, socket: Socket) -> None:
        clock = threading.Event()
        timer = threading.Timer(DRAIN_READ_S, clock.set)
        timer.start()
        while not clock.is_set() and self._read(socket, 1):
            pass
        timer.cancel()
        self._reception.finish()

    def _read(self, socket: Socket, most: int) -> int:
        """Read up to `most` queued messages; returns how many there were."""
        for count in range(most):
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return count
            views = [part.buffer for part in parts]
            if bytes(views[0]) == self._state_topic:
                self._reception.state_message(views)
            else:
                self._reception.frame_message(views)
        return most

    def _report(self, sources: Sources) -> None:
        for endpoint, alive in sources.changes():
            if alive:
                self._log.info("camera_connected", endpoint=endpoint)
            elif self._reception.camera_closing:
                self._log.info("camera_closed", endpoint=endpoint)
            else:
                self._log.error("camera_lost", endpoint=endpoint)
            self._post(SourceChanged(endpoint, alive=alive))
