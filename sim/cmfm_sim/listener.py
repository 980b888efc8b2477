"""Keeps all that a worker publishes for the account: records, pictures and passes on each event."""

import time
from collections.abc import Callable, Sequence

from cmfm_client.events import Event, Key, Lost, Received
from cmfm_client.result_log import ResultLog
from cmfm_client.subscriber import ResultSubscriber
from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.state import WorkerState
from cmfm_sim.pictures import RejectPictures

POLL_S = 0.05


class LineListener:
    """Holds `received` results, the `keys` of their triggers, the number of `lost` results and the last `state`."""

    def __init__(
        self,
        subscriber: ResultSubscriber,
        *,
        log: ResultLog,
        pictures: RejectPictures,
        on_event: Callable[[Event], None],
    ) -> None:
        self.received: list[Received] = []
        self.keys: set[Key] = set()
        self.lost = 0
        self.state: WorkerState | None = None
        self._subscriber = subscriber
        self._log = log
        self._pictures = pictures
        self._on_event = on_event
        self._quiet = False

    def be_quiet(self) -> None:
        """Pass no more events on and write no more pictures; the account and its record go on."""
        self._quiet = True

    @property
    def phase(self) -> str:
        """The worker's phase in its last heartbeat, "" before the first."""
        return self.state.phase if self.state is not None else ""

    def listen(self) -> None:
        """Take what has come, after waiting up to 50 ms for the first of it."""
        self._take(self._subscriber.poll(POLL_S))

    def listen_for(self, seconds: float) -> None:
        """Take what comes within a time."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.listen()

    def catch_up(self) -> None:
        """Ask for results that did not come by themselves."""
        self._take(self._subscriber.catch_up())

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Received):
                self.received.append(event)
                self.keys.add(event.key)
                self._log.write(event)
            elif isinstance(event, WorkerState):
                self.state = event
            elif isinstance(event, Lost):
                self.lost += len(event.missing)
            if not self._quiet:
                self._show(event)

    def _show(self, event: Event) -> None:
        if isinstance(event, Received):
            self._pictures.result(event.result)
        elif isinstance(event, AnomalyMaps):
            self._pictures.maps(event)
        self._on_event(event)
