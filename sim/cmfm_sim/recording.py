"""Takes a subscriber's events into files: each result once, and what else was heard.

It continues its own record, so it may be killed at any moment; the subscriber asks for what was missed.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol

from cmfm_client.events import Damaged, Event, LinkChanged, Lost, NewBoot, Received
from cmfm_client.json_lines import open_json_lines, write_json_line
from cmfm_client.result_log import ResultLog
from cmfm_protocol.wire.state import WorkerState

POLL_S: Final = 0.1


class EventLog:
    """Appends what else was heard to a file, a JSON object a line: state changes, links, restarts and losses.

    Each line has its time `at_ns`, CLOCK_REALTIME. Raises RecordError naming the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = open_json_lines(path, "a")
        self._state: object = None

    def write(self, event: str, **fields: Any) -> None:
        """Write an event."""
        write_json_line(self._file, {"at_ns": time.time_ns(), "event": event, **fields})

    def state(self, state: WorkerState) -> None:
        """Write a heartbeat if it says something new about boot, phase or cameras."""
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
        """Return the events received, after waiting up to `timeout_s` for the first."""
        ...

    def catch_up(self) -> list[Event]:
        """Results that were published and did not come by themselves."""
        ...


class Recording:
    """Writes a subscriber's results into a record, and its other events into an event log."""

    def __init__(self, subscriber: Source, log: ResultLog, events: EventLog | None) -> None:
        self.results = 0
        self._subscriber = subscriber
        self._log = log
        self._events = events

    def run(self, stopped: Callable[[], bool]) -> None:
        """Record until `stopped`; then ask for what may be missing, and end."""
        while not stopped():
            self._take(self._subscriber.poll(POLL_S))
        self._take([*self._subscriber.poll(0), *self._subscriber.catch_up()])

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Received):
                self._log.write(event)
                self.results += 1
            elif self._events is not None:
                _note(event, self._events)


def _note(event: Event, events: EventLog) -> None:
    if isinstance(event, WorkerState):
        events.state(event)
    elif isinstance(event, Lost):
        events.write("lost", **event.missing._asdict(), cause=event.cause)
    elif isinstance(event, NewBoot):
        events.write("new_boot", boot_id=event.boot_id, former_boot_id=event.former_boot_id)
    elif isinstance(event, LinkChanged):
        events.write("link", alive=event.alive)
    elif isinstance(event, Damaged):
        events.write("damaged", detail=event.detail)
