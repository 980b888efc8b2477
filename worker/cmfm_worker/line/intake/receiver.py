"""The receiving thread: reads the cameras' sockets, watches their connections, takes the line's count of triggers.

`admission` decides what the messages mean.
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
from cmfm_worker.line.intake.camera_sockets import CameraSockets
from cmfm_worker.line.intake.ring import BYTES_PER_PIXEL
from cmfm_worker.line.messages import BookEvent, SourceChanged
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.sockets import Context
from cmfm_worker.line.net.wakeable_queue import WakeableQueue
from cmfm_worker.settings.model import Settings

TICK_MS: Final = 10
"""Longest wait for a message. Lost numbers, dead cameras and a stop are noticed within it."""

BURST: Final = 64
"""Messages read from one camera before the others and the clock are looked at again."""

DRAIN_READ_S: Final = 2.0
"""How long a draining intake still reads what is queued in the sockets."""

BULK_PAUSE_S: Final = 0.002
"""Pause between two looks at whether the verdict thread has room for further FAULTs of lost parts in a drain."""

NOT_NOW: Final = "the worker is starting or draining and accepts no parts now"

Done = Callable[[str | None], None]
"""Called with the reason of a refusal, or with None when the request is done."""

Handler = Callable[[str, Sequence[memoryview]], None]
"""Handles a message: the endpoint that it came from, and its message frames, the topic first."""


class Receiver:
    """Receives until it is told to stop. Then it reads what is queued, settles what is missing, and ends."""

    def __init__(
        self,
        settings: Settings,
        context: Context,
        admission: Admission,
        post: Callable[[BookEvent], None],
        keys: Keys,
    ) -> None:
        self._settings = settings
        self._names = settings.camera_names
        self._keys = keys
        self._context = context
        self._admission = admission
        self._post = post
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._log = structlog.get_logger("intake")
        line = settings.line
        self._beat = topic(line.name, line.station, "state")
        self._handlers: dict[bytes, Handler] = {
            topic(line.name, line.station, "frame"): admission.frame_message,
            topic(line.name, line.station, "trigger"): admission.trigger_message,
            self._beat: admission.state_message,
        }
        self._counts: WakeableQueue[tuple[TriggerMessage, str, Done]] = WakeableQueue()
        self._cameras: list[CameraSockets] = []
        self.turns = CompletedTurns()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Connect to the cameras and begin receiving. Raises StartupError naming the endpoint."""
        prefixes = tuple(self._handlers)
        try:
            intake, frame_bytes = self._settings.intake, self._settings.ring.max_pixels * BYTES_PER_PIXEL
            for endpoint in self._settings.camera_names:
                self._cameras.append(
                    CameraSockets(self._context, endpoint, intake, prefixes, self._keys, frame_bytes)
                )
        except StartupError:
            self._close()
            raise
        self._thread.start()

    def stop(self) -> None:
        """Stop receiving after what is queued. Returns at once."""
        self._stop.set()

    def announce(self, message: TriggerMessage, camera: str, done: Done) -> None:
        """Hand over the line's own count of triggers, from any thread. `done` is called with the outcome.

        `camera` names the camera, "" if the message names its stream.
        """
        if self._thread.is_alive() and not self._stop.is_set():
            self._counts.post((message, camera, done))
        else:
            done(NOT_NOW)

    @property
    def running(self) -> bool:
        """Tell whether frames may still be accepted."""
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end. If it was never started, close the sockets and the queue."""
        self._hurry.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        else:
            self._close()

    def _run(self) -> None:
        try:
            self._receive()
            self._drain()
        except BaseException as error:  # the service ends the line when a thread has failed
            self.failure = error
            raise
        finally:
            self.turns.end()
            self._close()

    def _close(self) -> None:
        while self._cameras:
            self._cameras.pop().close()
        if self._counts.fileno() >= 0:  # not closed before
            for _, _, done in self._counts.collect():
                done(NOT_NOW)
            self._counts.close()

    def _receive(self) -> None:
        poller = self._poller()
        self.turns.begin(time.monotonic_ns())
        while not self._stop.is_set():
            ready = dict(poller.poll(TICK_MS))
            renewed = False
            for camera in self._cameras:
                if camera.socket in ready:
                    self._read(camera, BURST)
                renewed |= self._watch(camera)
            if renewed:
                poller = self._poller()
            for message, named, done in self._counts.collect():
                done(self._admission.announce(message, named))
            self._admission.tick()
            self.turns.complete(time.monotonic_ns())

    def _poller(self) -> zmq.Poller:
        poller = zmq.Poller()
        for camera in self._cameras:
            poller.register(camera.socket, zmq.POLLIN)
        poller.register(self._counts.fileno(), zmq.POLLIN)
        return poller

    def _drain(self) -> None:
        until_s = time.monotonic() + DRAIN_READ_S
        while time.monotonic() < until_s:
            if not sum(self._read(camera, 1) for camera in self._cameras):
                break
        while not self._hurry.is_set() and not self._admission.finish_some():
            self.turns.complete(time.monotonic_ns())
            time.sleep(BULK_PAUSE_S)
        self._admission.finish()

    def _read(self, camera: CameraSockets, most: int) -> int:
        """Read up to `most` queued messages. Returns how many there were."""
        for count in range(most):
            try:
                frames = camera.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return count
            message = [frame.buffer for frame in frames]
            prefix = bytes(message[0])
            camera.heard(sum(map(len, message)), beat=prefix == self._beat)
            handle = self._handlers.get(prefix, self._admission.frame_message)
            handle(camera.endpoint, message)
        return most

    def _watch(self, camera: CameraSockets) -> bool:
        """Report a camera that came up or went down. Returns True if it has a new socket."""
        self._report(camera)
        if camera.socket.poll(0):  # first what has arrived
            return False
        why = camera.repair(quiet=self._admission.is_closing(camera.endpoint))
        if why:
            self._log.warning("camera_reconnecting", **self._facts(camera), detail=why)
            self._report(camera)
        return bool(why)

    def _report(self, camera: CameraSockets) -> None:
        for alive in camera.changes():
            closing = self._admission.is_closing(camera.endpoint)
            if alive:
                self._log.info("camera_connected", **self._facts(camera))
            elif closing:
                self._log.info("camera_closed", **self._facts(camera))
            else:
                self._log.error("camera_lost", **self._facts(camera))
            self._post(SourceChanged(camera.endpoint, alive=alive, closed=closing and not alive))

    def _facts(self, camera: CameraSockets) -> dict[str, str]:
        return {"camera": self._names[camera.endpoint], "endpoint": camera.endpoint}
