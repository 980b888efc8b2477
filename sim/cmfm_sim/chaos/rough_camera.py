"""Plays a scene: a camera without the safeguards of `cmfm_client.Camera`, on up to two endpoints.

Every line of its log is written before what it says is sent: {"event": "part", …} with the expected result.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zmq

from cmfm_client.camera_socket import CameraOptions, camera_socket
from cmfm_client.errors import BindError
from cmfm_client.json_lines import open_json_lines, write_json_line
from cmfm_client.sockets import ZmqContext, ZmqSocket, bind
from cmfm_client.subscriptions import Subscriptions
from cmfm_protocol.wire.frame import FrameHeader, encode_frame
from cmfm_protocol.wire.state import CameraState, encode_camera_state
from cmfm_protocol.wire.topics import topic
from cmfm_sim.chaos.scenes import Beat, Logged, Part, PassedOver, Restart, SendAgain, Step
from cmfm_sim.errors import FailedError
from cmfm_sim.feed import Pictures

PERIOD_S: Final = 0.1
FILLER_PX: Final = 4
NO_RECIPE: Final = "no-such-recipe"
WAIT_S: Final = 20.0
"""Time to wait for a worker's subscription, and for room in its queue."""

SETTLE_S: Final = 0.5
"""Time between the last frame and the end of the stream."""

LEAD_S: Final = 0.3
"""Time from a worker's subscription to the first frame."""


@dataclass(frozen=True, slots=True)
class RoughOptions:
    """Where the camera binds, and how its parts are to be inspected."""

    endpoints: Sequence[str]
    recipe: str
    deadline_ms: float
    line: str = "line1"
    station: str = "station1"


class RoughSocket:
    """One endpoint of the camera. Raises FailedError if no worker comes or takes what is sent."""

    def __init__(self, context: ZmqContext, endpoint: str, options: RoughOptions) -> None:
        self._topic = topic(options.line, options.station, "frame")
        self._subscriptions = Subscriptions()
        self._socket = _bound(context, CameraOptions(endpoint, options.line, options.station))

    def wait_for_worker(self) -> None:
        """Wait until a worker has subscribed."""
        self._until(lambda: self._subscriptions.covers(self._topic), "nobody subscribed")
        time.sleep(LEAD_S)

    def send(self, message: Sequence[bytes | memoryview]) -> None:
        """Send a message; waits for room."""
        self._until(lambda: self._sent(message), "the worker takes no frames")

    def close(self, linger_ms: int) -> None:
        """Close it."""
        self._socket.close(linger_ms)

    def _sent(self, message: Sequence[bytes | memoryview]) -> bool:
        try:
            self._socket.send_multipart(message, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _until(self, done: Callable[[], bool], problem: str) -> None:
        until_s = time.monotonic() + WAIT_S
        self._subscriptions.update(self._socket)
        while not done():
            if time.monotonic() > until_s:
                raise FailedError(f"rough camera: {problem} within {WAIT_S:g} s")
            self._socket.poll(10, zmq.POLLIN | zmq.POLLOUT)
            self._subscriptions.update(self._socket)


class RoughCamera:
    """Plays one scene. `pictures` of at least two parts are used in turn."""

    def __init__(self, options: RoughOptions, pictures: Sequence[Pictures], log: Path) -> None:
        self._options = options
        self._pictures = pictures
        self._log = open_json_lines(log)
        self._uuid = uuid.uuid4().hex
        self._sent: list[tuple[FrameHeader, Part]] = []
        self._next_seq = 0
        self._sockets: list[RoughSocket] = []

    def play(self, name: str, steps: Sequence[Step]) -> None:
        """Play the scene to its end."""
        self._write("scene", scene=name, stream_uuid=self._uuid)
        context: ZmqContext = zmq.Context()
        with ExitStack() as closing:
            closing.callback(context.term)
            closing.callback(self._close, 0)
            self._open(context, 1 + max(step.endpoint for step in steps if isinstance(step, Part)))
            for step in steps:
                self._step(context, step)
            time.sleep(SETTLE_S)
            self._beat(0, closing=True)
            self._close(2000)
        self._write("end")
        self._log.close()

    def _step(self, context: ZmqContext, step: Step) -> None:
        if isinstance(step, Part):
            self._part(step)
        elif isinstance(step, SendAgain):
            time.sleep(step.after_s)
            header, part = self._sent[step.place]
            self._send(header, part, part.picture if step.picture is None else step.picture)
        elif isinstance(step, Beat):
            self._beat(step.ahead)
        elif isinstance(step, Restart):
            time.sleep(SETTLE_S)
            self._close(0)
            self._next_seq = 0
            self._open(context, len(self._options.endpoints[:1]))
        elif isinstance(step, PassedOver):
            self._write("passed_over", first=step.first, until=step.until, surely=step.surely)
        elif isinstance(step, Logged):
            self._write("logged", name=step.event)

    def _part(self, part: Part) -> None:
        number = len(self._sent)
        header = FrameHeader(
            stream_uuid=self._uuid,
            seq=part.seq,
            part_id=f"rough-{self._uuid[:12]}-{number}",
            trigger_ns=time.time_ns(),
            deadline_ms=self._options.deadline_ms,
            recipe=NO_RECIPE if part.filler else self._options.recipe,
            simulated=True,
        )
        self._sent.append((header, part))
        self._write(
            "part",
            seq=part.seq,
            part_id=header.part_id,
            trigger_ns=header.trigger_ns,
            deadline_ms=header.deadline_ms,
            expect=part.expect,
            reasons=part.reasons,
        )
        self._send(header, part, part.picture)
        if not part.filler:
            if part.endpoint == 0:
                self._next_seq = self._next_seq + 1 if part.miscounted else part.seq + 1
                self._beat(0)
            time.sleep(PERIOD_S)

    def _send(self, header: FrameHeader, part: Part, picture: int) -> None:
        rgb, xyz = _filler(picture) if part.filler else self._pictures[picture % len(self._pictures)]
        frame_topic = topic(self._options.line, self._options.station, "frame")
        self._sockets[part.endpoint].send(encode_frame(frame_topic, header, rgb, xyz))

    def _beat(self, ahead: int, *, closing: bool = False) -> None:
        state = CameraState(self._uuid, self._next_seq + ahead, closing, time.time_ns())
        self._sockets[0].send(
            encode_camera_state(topic(self._options.line, self._options.station, "state"), state)
        )

    def _open(self, context: ZmqContext, count: int) -> None:
        for endpoint in self._options.endpoints[:count]:
            self._sockets.append(RoughSocket(context, endpoint, self._options))
        for socket in self._sockets:
            socket.wait_for_worker()

    def _close(self, linger_ms: int) -> None:
        while self._sockets:
            self._sockets.pop().close(linger_ms)

    def _write(self, event: str, **fields: Any) -> None:
        write_json_line(self._log, {"event": event, "at_ns": time.time_ns(), **fields})


def _bound(context: ZmqContext, options: CameraOptions) -> ZmqSocket:
    """A bound socket; waits while libzmq still closes the one from before the camera's restart."""
    until_s = time.monotonic() + WAIT_S
    while True:
        socket = camera_socket(context, options)
        try:
            bind(socket, options.endpoint, "--endpoint")
        except BindError:
            if time.monotonic() > until_s:
                raise
            time.sleep(PERIOD_S)
        else:
            return socket


def _filler(number: int) -> Pictures:
    rng = np.random.default_rng(number)
    rgb = rng.integers(0, 256, (FILLER_PX, FILLER_PX, 3), dtype=np.uint8)
    return rgb, rng.random((FILLER_PX, FILLER_PX, 3), dtype=np.float32)
