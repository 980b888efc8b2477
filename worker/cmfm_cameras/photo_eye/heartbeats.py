"""The camera's heartbeats: which stream it is in, and which number comes next."""

from collections.abc import Iterator

from cmfm_cameras.subscriber import WatchedSubscriber
from cmfm_client import ClientKeys
from cmfm_client.sockets import ZmqContext
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.limits import MAX_STATE_BYTES
from cmfm_protocol.wire.state import CameraState, decode_camera_state
from cmfm_protocol.wire.topics import topic


class Heartbeats:
    """A subscriber of a camera's heartbeats alone, connected again by itself. One thread uses it."""

    def __init__(
        self, context: ZmqContext, endpoint: str, line: str, station: str, keys: ClientKeys | None
    ) -> None:
        self._subscriber = WatchedSubscriber(
            context,
            endpoint,
            topic(line, station, "state"),
            most_bytes=MAX_STATE_BYTES,
            keys=keys,
            name="camera endpoint",
        )

    def heard(self) -> Iterator[CameraState]:
        """Yield the heartbeats that are there; does not wait."""
        for message in self._subscriber.messages():
            try:
                yield decode_camera_state(message)
            except RemoteProtocolError:
                continue  # a worker's state on the same names, or a damaged one: the next is 0.2 s away

    def close(self) -> None:
        """Close the socket."""
        self._subscriber.close()
