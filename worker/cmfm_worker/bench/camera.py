"""The benchmark's camera, a process of its own: `python -m cmfm_worker.bench.camera ORDER` with an order in JSON.

It prints its endpoint, waits for a line on stdin and for a subscriber, sends, and prints a summary. Frames leave at
scheduled times that no slow worker moves (open loop); a trigger is stamped with its scheduled time, not with that of
the sending.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_protocol.clock import NS_PER_S

_DEADLINE_MS = 60_000.0
_SEND_LIMIT_MS = 60_000
_SUBSCRIBER_LIMIT_S = 600.0

Picture = tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.float32]]]


@dataclass(frozen=True)
class Order:
    """Orders to a camera: `rate_hz` frames a second, or with 0 as many as are taken, for so many `seconds`.

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
    """Frames that a camera sent. Frame `seq` was scheduled for `start_ns` (CLOCK_REALTIME) + seq · `period_ns`."""

    stream_uuid: str
    frames: int
    start_ns: int
    period_ns: int
    seconds: float
    cpu_s: float
    latest_s: float
    """Longest time that a frame left after its scheduled time: the camera's own share of a latency."""


def main(order: Order) -> None:
    """Send as ordered. A worker that takes nothing for a minute loses frames, which the caller finds missing."""
    with np.load(Path(order.frames), allow_pickle=False) as file:
        pictures = list(zip(file["rgb"], file["xyz"], strict=True))
    options = CameraOptions("tcp://127.0.0.1:*", order.line, order.station, send_limit_ms=_SEND_LIMIT_MS)
    with Camera(options) as camera:
        _print({"endpoint": camera.endpoint})
        sys.stdin.readline()
        camera.wait_for_subscriber(_SUBSCRIBER_LIMIT_S)
        _print(asdict(_send(camera, order, pictures)))


def _send(camera: Camera, order: Order, pictures: list[Picture]) -> Sent:
    start_ns, began_s, cpu_s = time.time_ns(), time.perf_counter(), time.process_time()
    latest_s, frames = 0.0, 0
    for seq, late_s in enumerate(_due_times(order, began_s)):
        latest_s, frames = max(latest_s, late_s), seq + 1
        trigger = camera.trigger(
            str(seq),
            recipe=order.recipe,
            deadline_ms=_DEADLINE_MS,
            trigger_ns=start_ns + seq * _period_ns(order) if order.rate_hz else None,
            simulated=True,
            announce=False,
        )
        camera.publish(trigger, *pictures[seq % len(pictures)], checksums=order.checksums)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    return Sent(camera.stream_uuid, frames, start_ns, _period_ns(order), took_s, cpu_s, latest_s)


def _due_times(order: Order, began_s: float) -> Iterator[float]:
    """Yields each time a frame is to leave, with the seconds that it is late."""
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
    return round(NS_PER_S / order.rate_hz) if order.rate_hz else 0


def _print(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
