"""The two outgoing sockets: results and heartbeats, and maps (WIRE.md, sockets)."""

from collections.abc import Sequence

import zmq

from cmfm_protocol.wire.state import WorkerState, encode_worker_state
from cmfm_protocol.wire.topics import topic
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.sockets import Context, bind
from cmfm_worker.line.verdicts.recent_results import RecentResults
from cmfm_worker.settings.model import Settings


class Publisher:
    """The PUB sockets. A slow subscriber loses messages (and recovers results); it never slows the line.

    Raises StartupError if an endpoint cannot be bound.
    """

    def __init__(self, context: Context, settings: Settings, keys: Keys = Keys()) -> None:
        sockets, results, maps = settings.sockets, settings.results, settings.maps
        self._state_topic = topic(settings.line.name, settings.line.station, "state")
        self._results = bind(
            context, zmq.PUB, sockets.results, send_hwm=results.hwm, curve=keys.curve_server("results")
        )
        self._maps = bind(context, zmq.PUB, sockets.maps, send_hwm=maps.hwm, curve=keys.curve_server("maps"))
        self.history = RecentResults(results.history)

    def result(self, message: Sequence[bytes]) -> None:
        """Send an encoded result (topic, payload) and keep its payload for subscribers that missed it."""
        self._results.send_multipart(message, zmq.NOBLOCK)
        self.history.append(message[1])

    def maps(self, message: Sequence[bytes | memoryview]) -> None:
        """Send a part's encoded maps; they are lost for a subscriber that is too slow."""
        self._maps.send_multipart(message, zmq.NOBLOCK)

    def state(self, state: WorkerState) -> None:
        """Send a heartbeat on the results socket."""
        self._results.send_multipart(encode_worker_state(self._state_topic, state), zmq.NOBLOCK)

    def close(self) -> None:
        """Close both sockets; what is queued is still delivered within the linger time."""
        self._results.close()
        self._maps.close()
