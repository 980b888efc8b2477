"""A camera program in this process, and what a worker would receive from it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import zmq

from cmfm_cameras.device import Device
from cmfm_cameras.run import serve
from cmfm_cameras.settings.camera import CameraSection
from cmfm_cameras.settings.model import CameraSettings
from cmfm_protocol.wire.frame import Frame, decode_frame
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger

LIMIT_S = 60.0
"""Generous: a condition is waited for, and a loaded machine may take its time."""


@dataclass
class Received:
    """Frames and trigger messages in the order of their arrival."""

    frames: list[Frame] = field(default_factory=list)
    triggers: list[TriggerMessage] = field(default_factory=list)

    @property
    def lost(self) -> list[int]:
        """Numbers that were announced and have no frame."""
        return sorted(
            {trigger.seq for trigger in self.triggers} - {frame.header.seq for frame in self.frames}
        )


class Listening:
    """Collects what a camera publishes."""

    def __init__(
        self, socket: zmq.Socket[bytes], running: threading.Thread, failed: list[BaseException]
    ) -> None:
        self.received = Received()
        self._socket, self._running, self._failed = socket, running, failed

    def until(self, done: Callable[[Received], bool]) -> Received:
        """Listen until `done`; fails after a generous limit, and with the camera's own error."""
        until_s = time.monotonic() + LIMIT_S
        while not done(self.received):
            if self._failed:
                raise self._failed[0]
            assert time.monotonic() < until_s, f"only {self.received}"
            if self._socket.poll(100):
                self._take(self._socket.recv_multipart())
        return self.received

    def _take(self, message: list[bytes]) -> None:
        if message[0].endswith(b"/frame/"):
            self.received.frames.append(decode_frame(message))
        elif message[0].endswith(b"/trigger/"):
            self.received.triggers.append(decode_trigger(message))


@contextlib.contextmanager
def published(opened: Callable[[], Device], **camera: object) -> Iterator[Listening]:
    """Run a camera on a device, and listen to it as a worker does. `camera` are keys of [camera]."""
    with TemporaryDirectory(prefix="cmfm") as folder, zmq.Context() as context:
        endpoint = f"ipc://{Path(folder) / 'camera'}"
        settings = CameraSettings(camera=CameraSection.model_validate({"endpoint": endpoint, **camera}))
        stopped, failed = threading.Event(), list[BaseException]()

        def run() -> None:
            try:
                serve(settings, opened, stopped.is_set)
            except BaseException as error:  # noqa: BLE001 (the test raises it)
                failed.append(error)

        running = threading.Thread(target=run, daemon=True)
        with context.socket(zmq.SUB) as socket:
            socket.set(zmq.SUBSCRIBE, b"")
            socket.set(zmq.LINGER, 0)
            socket.connect(endpoint)
            running.start()
            try:
                yield Listening(socket, running, failed)
            finally:
                stopped.set()
                running.join(LIMIT_S)
        assert not running.is_alive()
