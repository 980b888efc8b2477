"""The socket of a camera and its options."""

import zlib
from dataclasses import dataclass
from typing import Final

import zmq

from cmfm_client.curve import CameraKeys
from cmfm_client.sockets import ZmqContext, ZmqSocket, notice_dead_host
from cmfm_protocol.wire.arrays import Checksum

MAX_SUBSCRIPTION_BYTES: Final = 4096
"""A subscription is a topic; what is longer is cut off."""


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """Where a camera binds, the names in its topics, and how long a frame may wait for a slow worker.

    `send_hwm` frames are queued for a slow worker. When the queue is full, a further frame waits for `send_limit_ms`
    and is then dropped and counted. `crc32` computes the checksums of arrays; a faster one than zlib's halves the time
    that a large frame takes.
    """

    endpoint: str = "tcp://127.0.0.1:5555"
    line: str = "line1"
    station: str = "station1"
    send_hwm: int = 4
    send_limit_ms: int = 20
    keys: CameraKeys | None = None
    crc32: Checksum = zlib.crc32


def camera_socket(context: ZmqContext, options: CameraOptions) -> ZmqSocket:
    """An XPUB socket that is not bound yet; `cmfm_client.sockets` explains the options."""
    socket = context.socket(zmq.XPUB)
    socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.setsockopt(zmq.SNDHWM, options.send_hwm)
    socket.setsockopt(zmq.SNDTIMEO, options.send_limit_ms)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_SUBSCRIPTION_BYTES)
    notice_dead_host(
        socket
    )  # a worker behind a full queue answers no PING: heartbeats would cut it off with its frames
    if options.keys is not None:
        options.keys.apply_to(socket)
    return socket
