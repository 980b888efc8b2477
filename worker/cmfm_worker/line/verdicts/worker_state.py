"""The worker state: the heartbeat and the reply to `status` (WIRE.md, worker state)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cmfm_protocol.clock import NS_PER_MS, NS_PER_S, Clock
from cmfm_protocol.wire.state import CollectState, SourceState, WorkerPhase, WorkerState
from cmfm_protocol.wire.verdict import FAULT_REASONS, Verdict
from cmfm_worker.line.health.totals import Totals
from cmfm_worker.line.messages import SourceChanged, SourceSeen


@dataclass(slots=True)
class _Source:
    name: str
    alive: bool = False
    lost: bool = False  # it was connected, and has not announced its end
    stream_uuid: str = ""
    last_seen_ns: int = 0
    last_frame_ns: int = 0


class StateReporter:
    """Makes the worker state of now. The service sets `phase`; the verdict thread alone updates the cameras.

    `cameras` maps endpoints to names. Any thread may read. The callables return the totals, the free ring slots, and
    the nanoseconds that a part costs (None while unknown).
    """

    def __init__(
        self,
        *,
        boot_id: str,
        device: str,
        cameras: Mapping[str, str],
        clock: Clock,
        totals: Callable[[], Totals],
        queue_free: Callable[[], int],
        part_ns: Callable[[], int | None],
    ) -> None:
        self.phase: WorkerPhase = "starting"
        self._boot_id = boot_id
        self._device = device
        self._clock = clock
        self._started_ns = clock.monotonic_ns()
        self._sources = {endpoint: _Source(name) for endpoint, name in cameras.items()}
        self._totals = totals
        self._queue_free = queue_free
        self._part_ns = part_ns

    def source_changed(self, event: SourceChanged | SourceSeen) -> None:
        """Enter a camera's connection or stream."""
        source = self._sources[event.endpoint]
        source.last_seen_ns = self._clock.realtime_ns()
        if isinstance(event, SourceChanged):
            source.alive, source.lost = event.alive, not event.alive and not event.closed
        else:
            source.stream_uuid = event.stream_uuid
            if event.frame:
                source.last_frame_ns = source.last_seen_ns

    def sources_alive(self) -> dict[str, bool]:
        """Return for each endpoint whether its camera is connected."""
        return {endpoint: source.alive for endpoint, source in self._sources.items()}

    @property
    def cameras(self) -> dict[str, str]:
        """The name of the camera at each endpoint."""
        return {endpoint: source.name for endpoint, source in self._sources.items()}

    def sources_lost(self) -> list[str]:
        """Return the cameras that were connected, are not, and did not announce their end, each with its endpoint."""
        return [f"{source.name} ({endpoint})" for endpoint, source in self._sources.items() if source.lost]

    def frame_ages_s(self) -> dict[str, float]:
        """Return for each endpoint the seconds since its last readable frame, NaN before the first."""
        now_ns = self._clock.realtime_ns()
        last_ns = {endpoint: source.last_frame_ns for endpoint, source in self._sources.items()}
        return {
            endpoint: max(now_ns - ns, 0) / NS_PER_S if ns else math.nan for endpoint, ns in last_ns.items()
        }

    def message(self, recipes: Sequence[str], collecting: CollectState | None = None) -> WorkerState:
        """Make the worker state of now; `recipes` are the names of those that are loaded."""
        totals, part_ns = self._totals(), self._part_ns()
        verdicts = {str(verdict).lower(): totals.verdicts[verdict] for verdict in Verdict}
        return WorkerState(
            boot_id=self._boot_id,
            phase=self.phase,
            uptime_s=(self._clock.monotonic_ns() - self._started_ns) / NS_PER_S,
            counts={"triggers": totals.triggers, **verdicts},
            faults_by_reason={str(r): n for r, n in totals.reasons.items() if r in FAULT_REASONS},
            sources=tuple(
                SourceState(
                    endpoint,
                    source.stream_uuid,
                    source.alive,
                    source.last_seen_ns,
                    source.last_frame_ns,
                    source.name,
                )
                for endpoint, source in self._sources.items()
            ),
            queue_free=self._queue_free(),
            in_flight=totals.open,
            recipes=tuple(recipes),
            device=self._device,
            sent_ns=self._clock.realtime_ns(),
            part_ms=None if part_ns is None else part_ns / NS_PER_MS,
            collecting=collecting,
        )
