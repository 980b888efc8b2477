"""The bench's camera, a process of its own: `python -m cmfm_worker.bench.camera ORDER` with an order in JSON.

It prints its endpoint, waits for a line on stdin, sends, and prints what it did. Frames leave at scheduled moments
that no slow worker moves (open loop); a trigger is stamped with the moment that was scheduled, not with that of
the sending.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import zmq

from cmfm_protocol.wire.frame import FrameHeader, encode_frame
from cmfm_protocol.wire.state import CameraState, encode_camera_state
from cmfm_protocol.wire.topics import topic

_NS_PER_S = 1_000_000_000
_DEADLINE_MS = 60_000.0
_SEND_HWM = 4
_SEND_LIMIT_MS = 60_000
_LINGER_MS = 10_000


@dataclass(frozen=True)
class Order:
    """What a camera is to do: `rate_hz` frames a second, or with 0 as many as are taken; for so many `seconds`.

    `frames` is an .npz file with rgb (F, H, W, 3) uint8 and xyz (F, H, W, 3) float32.
    """

    frames: str
    seconds: float
    rate_hz: float
    recipe: str
    line: str
    station: str
    checksums: bool = True


@dataclass(frozen=True)
class Sent:
    """What a camera did. Frame `seq` was scheduled for `start_ns` (CLOCK_REALTIME) + seq · `period_ns`."""

    stream_uuid: str
    frames: int
    start_ns: int
    period_ns: int
    seconds: float
    cpu_s: float
    latest_s: float
    """The most that a frame left after its moment: the camera's own share of a latency."""


def main(order: Order) -> None:
    """Send as ordered."""
    with np.load(Path(order.frames), allow_pickle=False) as file:
        pictures = list(zip(file["rgb"], file["xyz"], strict=True))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.setsockopt(zmq.SNDHWM, _SEND_HWM)
    socket.setsockopt(zmq.SNDTIMEO, _SEND_LIMIT_MS)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    _print({"endpoint": f"tcp://127.0.0.1:{port}"})
    sys.stdin.readline()
    frames = topic(order.line, order.station, "frame")
    while not _asks_for(socket.recv(), frames):  # nobody would hear
        pass
    _print(asdict(_send(socket, order, pictures)))
    socket.close(_LINGER_MS)
    context.term()


def _asks_for(message: bytes, frames: bytes) -> bool:
    """Whether a message is a subscription (a byte 1 and a prefix) that brings frames."""
    return message[:1] == b"\x01" and frames.startswith(message[1:])


def _send(socket: zmq.Socket[bytes], order: Order, pictures: list[tuple[np.ndarray, np.ndarray]]) -> Sent:
    stream_uuid, frame_topic = uuid.uuid4().hex, topic(order.line, order.station, "frame")
    start_ns, began_s, cpu_s, latest_s, frames = (
        time.time_ns(),
        time.perf_counter(),
        time.process_time(),
        0.0,
        0,
    )
    for seq, late_s in enumerate(_moments(order, began_s)):
        latest_s, frames = max(latest_s, late_s), seq + 1
        trigger_ns = start_ns + seq * _period_ns(order) if order.rate_hz else time.time_ns()
        header = FrameHeader(
            stream_uuid, seq, str(seq), trigger_ns, _DEADLINE_MS, order.recipe, simulated=True
        )
        rgb, xyz = pictures[seq % len(pictures)]
        socket.send_multipart(
            encode_frame(frame_topic, header, rgb, xyz, checksums=order.checksums), copy=False
        )
    took_s = time.perf_counter() - began_s
    closing = CameraState(stream_uuid, frames, closing=True, sent_ns=time.time_ns())
    socket.send_multipart(encode_camera_state(topic(order.line, order.station, "state"), closing))
    return Sent(
        stream_uuid, frames, start_ns, _period_ns(order), took_s, time.process_time() - cpu_s, latest_s
    )


def _moments(order: Order, began_s: float) -> Iterator[float]:
    """Comes back when a frame is to leave, with the seconds that it is late."""
    seq = 0
    while (due_s := seq / order.rate_hz if order.rate_hz else 0.0) < order.seconds:
        passed_s = time.perf_counter() - began_s
        if not order.rate_hz and passed_s >= order.seconds:
            return
        if passed_s < due_s:
            time.sleep(due_s - passed_s)
        yield max(0.0, time.perf_counter() - began_s - due_s) if order.rate_hz else 0.0
        seq += 1


def _period_ns(order: Order) -> int:
    return round(_NS_PER_S / order.rate_hz) if order.rate_hz else 0


def _print(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
