"""A subscriber that keeps a complete record: every result once, whatever becomes of it or of the worker.

It goes on from its own file, so it may be killed at any moment. Results that could not be had when they were missed
(a worker that hangs does not answer) are asked for again with every heartbeat of the same boot.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from cmfm_protocol.wire.state import WorkerState
from cmfm_sim.record import Received, ResultLog, json_lines
from cmfm_sim.result_order import Missing
from cmfm_sim.subscriber import Damaged, Event, LinkChanged, Lost

POLL_S: Final = 0.1
ASK_AGAIN: Final = 20
"""Heartbeats with which missed results are asked for; what a worker has not given by then it has no more."""


@dataclass(slots=True)
class Had:
    """Which results of one boot are had: all up to `newest` except `owed`."""

    newest: int = 0
    owed: set[int] = field(default_factory=set)
    asked: int = 0

    def take(self, result_id: int) -> bool:
        """Note a result. False where it was had before."""
        if result_id > self.newest:
            self.owed.update(range(self.newest + 1, result_id))
            self.newest = result_id
            return True
        if result_id in self.owed:
            self.owed.remove(result_id)
            return True
        return False


class EventLog:
    """What else was heard, a JSON object a line with its time: the worker's state where it changes, links, losses."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._state: object = None

    def write(self, event: str, **fields: Any) -> None:
        """Something happened; `at_ns` is CLOCK_REALTIME."""
        self._file.write(json.dumps({"at_ns": time.time_ns(), "event": event, **fields}) + "\n")
        self._file.flush()

    def state(self, state: WorkerState) -> None:
        """A heartbeat, if it says something new about boot, phase or cameras."""
        alive = {source.endpoint: source.alive for source in state.sources}
        facts = {"boot_id": state.boot_id, "phase": state.phase, "alive": alive}
        if facts != self._state or state.phase == "stopped":
            self._state = facts
            self.write("state", **facts, counts=state.counts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Source(Protocol):
    """Where events come from: a `ResultSubscriber`."""

    def poll(self, timeout_s: float) -> list[Event]:
        """What came in, waiting up to `timeout_s` for the first of it."""
        ...

    def catch_up(self) -> list[Event]:
        """Results that were published and did not come by themselves."""
        ...

    def ask_again(self, missing: Missing) -> list[Received]:
        """Results reported as lost that the worker has after all."""
        ...


class Recording:
    """Takes a subscriber's events into a record."""

    def __init__(
        self, subscriber: Source, log: ResultLog, events: EventLog | None, had: dict[str, Had]
    ) -> None:
        self.results = 0
        self._subscriber = subscriber
        self._log = log
        self._events = events
        self._had: dict[str, Had] = defaultdict(Had, had)

    def run(self, stopped: Callable[[], bool]) -> None:
        """Record until `stopped`; then ask for what may be missing, and end."""
        while not stopped():
            self._take(self._subscriber.poll(POLL_S))
        self._take([*self._subscriber.poll(0), *self._subscriber.catch_up()])

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Received):
                self._result(event)
            elif isinstance(event, WorkerState):
                self._state(event)
            else:
                self._note(event)

    def _result(self, received: Received) -> None:
        if self._had[received.result.boot_id].take(received.result.result_id):
            self._log.result(received)
            self.results += 1

    def _state(self, state: WorkerState) -> None:
        if self._events is not None:
            self._events.state(state)
        boot = self._had[state.boot_id]
        if boot.owed and boot.asked < ASK_AGAIN:
            boot.asked += 1
            self._take(self._subscriber.ask_again(Missing(state.boot_id, min(boot.owed), max(boot.owed))))

    def _note(self, event: Event) -> None:
        if isinstance(event, Lost):
            boot = self._had[event.missing.boot_id]
            boot.owed.update(range(max(boot.newest + 1, event.missing.first_id), event.missing.last_id + 1))
            boot.newest = max(boot.newest, event.missing.last_id)
            boot.asked = 0
        if self._events is None:
            return
        if isinstance(event, Lost):
            self._events.write("lost", **event.missing._asdict())
        elif isinstance(event, LinkChanged):
            self._events.write("link", alive=event.alive)
        elif isinstance(event, Damaged):
            self._events.write("damaged", detail=event.detail)


def read_had(path: Path) -> dict[str, Had]:
    """Which results a record holds, by boot, the latest last. Raises InputError naming the line."""
    had: dict[str, Had] = defaultdict(Had)
    if path.is_file():
        for _, line in json_lines(path):
            had[line["result"]["boot_id"]].take(line["result"]["result_id"])
    return dict(had)
