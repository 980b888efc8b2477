"""A camera written from WIRE.md alone, with msgpack and ZeroMQ: nothing of `cmfm_protocol` or `cmfm_client`."""

import time
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
import zmq
from numpy.typing import NDArray

TOPIC = b"cmfm/1/line1/station1/"


@dataclass
class Stranger:
    """Sends what it is told to on an XPUB that it was given; counts its triggers from 0."""

    socket: "zmq.Socket[bytes]"
    stream: str = "stranger"
    seq: int = 0
    sent: dict[str, int] = field(default_factory=dict)  # by part: how many readable frames

    def header(self, part: str, **changes: Any) -> dict[str, Any]:
        """The header of the next part; `arrays` are added when it is sent."""
        made = {
            "v": 1,
            "stream_uuid": self.stream,
            "seq": self.seq,
            "part_id": part,
            "trigger_ns": time.time_ns(),
            "deadline_ms": 5000.0,
            "recipe": "part",
        }
        return made | changes

    def frame(self, header: dict[str, Any], rgb: NDArray[np.uint8], xyz: NDArray[np.float32]) -> None:
        """Send a frame."""
        arrays = [
            {
                "name": name,
                "dtype": a.dtype.str,
                "shape": list(a.shape),
                "nbytes": a.nbytes,
                "unit": unit,
                "invalid": mark,
            }
            for name, a, unit, mark in (("rgb", rgb, "sRGB", "none"), ("xyz", xyz, "m", "nan|0,0,0"))
        ]
        body = msgpack.packb(header | {"arrays": arrays})
        self.socket.send_multipart([TOPIC + b"frame/", body, rgb.tobytes(), xyz.tobytes()])
        self.sent[header["part_id"]] = self.sent.get(header["part_id"], 0) + 1

    def trigger(self, header: dict[str, Any]) -> None:
        """Send a trigger message."""
        self.socket.send_multipart([TOPIC + b"trigger/", msgpack.packb(header)])

    def beat(self, next_seq: int) -> None:
        """Send a heartbeat."""
        state = {
            "v": 1,
            "stream_uuid": self.stream,
            "next_seq": next_seq,
            "closing": False,
            "sent_ns": time.time_ns(),
        }
        self.socket.send_multipart([TOPIC + b"state/", msgpack.packb(state)])

    def junk(self, *frames: bytes) -> None:
        """Send bytes on the frame topic."""
        self.socket.send_multipart([TOPIC + b"frame/", *frames])
