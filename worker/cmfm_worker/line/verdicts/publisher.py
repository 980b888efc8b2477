"""Results and maps on their sockets (WIRE.md, results)."""

import zmq

from cmfm_protocol.wire.anomaly_map import AnomalyMaps, encode_maps
from cmfm_protocol.wire.result import Result, encode_result
from cmfm_protocol.wire.state import WorkerState, encode_worker_state
from cmfm_protocol.wire.topics import topic
from cmfm_worker.line.messages import PartMaps
from cmfm_worker.line.net.curve import Keys
from cmfm_worker.line.net.sockets import Context, bind
from cmfm_worker.line.verdicts.recent_results import RecentResults
from cmfm_worker.settings.model import Settings


class Publisher:
    """The two outgoing sockets. A slow subscriber loses messages (and recovers results); it never slows the line."""

    def __init__(self, context: Context, settings: Settings, keys: Keys = Keys()) -> None:
        line, sockets = settings.line, settings.sockets
        self._result_topic = topic(line.name, line.station, "result")
        self._map_topic = topic(line.name, line.station, "map")
        self._state_topic = topic(line.name, line.station, "state")
        results, maps = settings.results, settings.maps
        self._results = bind(
            context, zmq.PUB, sockets.results, send_hwm=results.hwm, curve=keys.curve_server("results")
        )
        self._maps = bind(context, zmq.PUB, sockets.maps, send_hwm=maps.hwm, curve=keys.curve_server("maps"))
        self.history = RecentResults(settings.results.history)

    def result(self, result: Result) -> None:
        """Send a verdict at once and keep it for those who were away."""
        parts = encode_result(self._result_topic, result)
        self._results.send_multipart(parts, zmq.NOBLOCK)
        self.history.append(bytes(parts[1]))

    def maps(self, result: Result, maps: PartMaps) -> None:
        """Send a part's maps after its verdict; lossy."""
        message = AnomalyMaps(
            map_ref=result.map_ref,
            result_id=result.result_id,
            boot_id=result.boot_id,
            stream_uuid=result.stream_uuid,
            seq=result.seq,
            part_id=result.part_id,
            recipe=result.recipe,
            threshold=result.threshold,
            score=result.score,
            verdict=result.verdict,
            psi=maps.psi,
            psi_2d=maps.psi_2d,
            psi_3d=maps.psi_3d,
            rgb=maps.rgb,
            depth=maps.depth,
            foreground=maps.foreground,
        )
        self._maps.send_multipart(encode_maps(self._map_topic, message), zmq.NOBLOCK)

    def state(self, state: WorkerState) -> None:
        """Send a heartbeat on the results socket."""
        self._results.send_multipart(encode_worker_state(self._state_topic, state), zmq.NOBLOCK)

    def close(self) -> None:
        """Close both sockets; what is queued is still delivered within the linger time."""
        self._results.close()
        self._maps.close()
