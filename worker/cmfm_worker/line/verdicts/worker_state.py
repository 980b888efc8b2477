"""What the worker says of itself: the state heartbeat and the answer to `status` (WIRE.md, state)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cmfm_protocol.wire.state import SourceState, WorkerPhase, WorkerState
from cmfm_protocol.wire.verdict import FAULT_REASONS, Verdict
from cmfm_worker.clock import NS_PER_MS, NS_PER_S, Clock
from cmfm_worker.line.messages import SourceChanged, SourceSeen
from cmfm_worker.line.verdicts.account import Account


@dataclass(slots=True)
class _Source:
    alive: bool = False
    stream_uuid: str = ""
    last_seen_ns: int = 0


class LineState:
    """Phase and cameras of a running line. The desk's thread keeps the cameras; any thread may read."""

    def __init__(self, *, boot_id: str, device: str, endpoints: Sequence[str], clock: Clock) -> None:
        self.phase: WorkerPhase = "starting"
        self._boot_id = boot_id
        self._device = device
        self._clock = clock
        self._started_ns = clock.monotonic_ns()
        self._sources = {endpoint: _Source() for endpoint in endpoints}

    def source_changed(self, event: SourceChanged | SourceSeen) -> None:
        """Take note of a camera's connection, or of a message from it."""
        source = self._sources[event.endpoint]
        source.last_seen_ns = self._clock.realtime_ns()
        if isinstance(event, SourceChanged):
            source.alive = event.alive
        else:
            source.stream_uuid = event.stream_uuid

    def sources_alive(self) -> dict[str, bool]:
        """Endpoint → whether it is connected."""
        return {endpoint: source.alive for endpoint, source in self._sources.items()}

    def message(
        self, account: Account, *, queue_free: int, recipes: Sequence[str], part_ns: int | None
    ) -> WorkerState:
        """The heartbeat for this moment; called by the desk's thread, which owns the account."""
        counts = account.counts
        verdicts = {str(verdict).lower(): counts.verdicts[verdict] for verdict in Verdict}
        return WorkerState(
            boot_id=self._boot_id,
            phase=self.phase,
            uptime_s=(self._clock.monotonic_ns() - self._started_ns) / NS_PER_S,
            counts={"triggers": counts.triggers, **verdicts},
            faults_by_reason={str(r): n for r, n in counts.reasons.items() if r in FAULT_REASONS},
            sources=tuple(
                SourceState(endpoint, source.stream_uuid, source.alive, source.last_seen_ns)
                for endpoint, source in self._sources.items()
            ),
            queue_free=queue_free,
            in_flight=account.open_count,
            recipes=tuple(recipes),
            device=self._device,
            sent_ns=self._clock.realtime_ns(),
            part_ms=None if part_ns is None else part_ns / NS_PER_MS,
        )


StateMessage = Callable[[], WorkerState]
"""Makes the heartbeat of the moment."""
