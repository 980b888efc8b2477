"""Time of one core from a full multi-part buffer to a sealed frame in the socket's queue."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import zmq
from imagecodecs import deflate_crc32

from cmfm_cameras.capture import Capture, check_capture
from cmfm_cameras.gentl.colour import picture, picture_part
from cmfm_cameras.gentl.parts import Part
from cmfm_cameras.gentl.points import points
from cmfm_cameras.gentl.scan3d import Pose, Scan3d, axes_of
from cmfm_client import Camera, CameraOptions

HEIGHT, WIDTH = 1200, 1944
"""2.3 megapixels."""

POSE = Pose((0.0, 180.0, 0.0), (0.0, 0.0, 900.0))
SCALED = axes_of((0.05, 0.05, 0.01), (-50.0, -30.0, 200.0))


@dataclass(frozen=True, slots=True)
class Buffer:
    """A made-up buffer: RGB and points of some format, 5 % of them missing."""

    name: str
    raw: bytes
    parts: tuple[Part, ...]
    scan: Scan3d


def buffers() -> list[Buffer]:
    """Return a buffer of each layout that cameras of this size deliver."""
    generator = np.random.default_rng(1)
    rgb = generator.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    xyz = generator.random((HEIGHT, WIDTH, 3), np.float32) * 300 + 100
    xyz[generator.random((HEIGHT, WIDTH)) < 0.05] = 0
    steps = (xyz * 100).astype(np.uint16)
    planes = [np.ascontiguousarray(xyz[..., axis]) for axis in range(3)]
    plain, scaled = Scan3d(pose=POSE), Scan3d(axes=SCALED)
    split = [(0x012000BD + axis, plane.tobytes()) for axis, plane in enumerate(planes)]
    return [
        _buffer("RGB8, Coord3D_A/B/C32f, pose", [(0x02180014, rgb.tobytes()), *split], plain),
        _buffer("RGB8, Coord3D_ABC32f", [(0x02180014, rgb.tobytes()), (0x026000C0, xyz.tobytes())], plain),
        _buffer(
            "BayerRG8, Coord3D_ABC16, scales",
            [(0x01080009, rgb[..., 0].tobytes()), (0x023000B9, steps.tobytes())],
            scaled,
        ),
    ]


def _buffer(name: str, components: list[tuple[int, bytes]], scan: Scan3d) -> Buffer:
    raw, parts = bytearray(), []
    for code, data in components:
        parts.append(Part(code, len(raw), len(data), WIDTH, HEIGHT))
        raw += data
    return Buffer(name, bytes(raw), tuple(parts), scan)


def measure(rounds: int, say: Callable[[str], None]) -> None:
    """Print the median CPU time of each layout, and of its stages."""
    for buffer in buffers():
        stages = _measure(buffer, rounds)
        total = sum(stages.values())
        parts = ", ".join(f"{name} {ms:.1f}" for name, ms in stages.items())
        say(f"{buffer.name}: {total:.1f} ms of one core ({parts})")


def _measure(buffer: Buffer, rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {"picture": [], "points": [], "checks": [], "seal and send": []}
    with Camera(CameraOptions("tcp://127.0.0.1:*", crc32=deflate_crc32)) as camera:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = context.socket(zmq.SUB)
        socket.subscribe(b"")
        socket.connect(camera.endpoint)
        camera.wait_for_subscriber(10)
        for number in range(rounds):
            began = [time.thread_time()]
            rgb = picture(buffer.raw, picture_part(buffer.parts))
            began.append(time.thread_time())
            xyz = points(buffer.raw, buffer.parts, buffer.scan)
            began.append(time.thread_time())
            check_capture(Capture(rgb, xyz, number, None))
            began.append(time.thread_time())
            camera.publish(camera.trigger(f"p{number}"), rgb, xyz)
            began.append(time.thread_time())
            for name, start, end in zip(times, began, began[1:], strict=False):
                times[name].append((end - start) * 1e3)
            while socket.poll(200):
                socket.recv_multipart(copy=False)
        socket.close(0)
        context.term()
    return {name: float(np.median(values)) for name, values in times.items()}
