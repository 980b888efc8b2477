"""The viewer: shows verdicts, gaps and the worker's state as they come, to people or to programs."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final, Protocol

from rich.console import Console
from rich.text import Text

from cmfm_client.events import Damaged, Event, LinkChanged, LossCause, Lost, NewBoot, Received, Silence
from cmfm_client.result_log import ResultLog
from cmfm_client.subscriber import ResultSubscriber
from cmfm_protocol.wire.anomaly_map import AnomalyMaps
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.pictures import RejectPictures
from cmfm_sim.verdict_text import STYLES, verdict_text

CAUSES: Final = {
    LossCause.NO_RECOVERY: "give --recover-endpoint to have missed results",
    LossCause.NO_REPLY: "the worker's recovery socket does not reply",
    LossCause.TOO_OLD: "the worker no longer holds them; they are in its ledger",
    LossCause.NEW_BOOT: "the worker was restarted; they are in its ledger",
}

POLL_S: Final = 0.1
LAST_MAPS_S: Final = 1.0
"""Time for which the maps of the last verdict are waited for."""


class Display(Protocol):
    """Shows events."""

    def show(self, event: Event) -> None:
        """Show an event."""
        ...

    def heard_again(self) -> None:
        """Show that the worker is heard again after `Silence`."""
        ...


class JsonDisplay:
    """Writes one JSON object an event to stdout; `event` is its kind. Maps, being pictures, are left out."""

    def show(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, Received):
            self._write("result", {"received_ns": event.received_ns, **asdict(event.result)})
        elif isinstance(event, WorkerState):
            self._write("state", asdict(event))
        elif isinstance(event, Lost):
            self._write("lost", {**event.missing._asdict(), "cause": event.cause})
        elif isinstance(event, NewBoot):
            self._write("new_boot", asdict(event))
        elif isinstance(event, Damaged):
            self._write("damaged", {"detail": event.detail})
        elif isinstance(event, LinkChanged):
            self._write("link", {"alive": event.alive})
        elif isinstance(event, Silence):
            self._write("silent", {})

    def heard_again(self) -> None:
        """Write that the worker is back."""
        self._write("heard", {})

    def _write(self, kind: str, fields: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps({"event": kind, **fields}) + "\n")
        sys.stdout.flush()


class TextDisplay:
    """Prints a coloured line a verdict, and a note when something about the worker changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._boot_and_phase = ("", "")
        self._alive: dict[str, bool] = {}
        self.verdicts: Counter[Verdict] = Counter()

    def show(self, event: Event) -> None:
        """Print an event."""
        if isinstance(event, Received):
            self.verdicts[event.result.verdict] += 1
            line = verdict_text(event.result, recovered=event.received_ns is None)
            self._console.print(line)
        elif isinstance(event, WorkerState):
            self._state(event)
        elif isinstance(event, Lost):
            first, last = event.missing.first_id, event.missing.last_id
            self._note(f"results {first} to {last} were missed: {CAUSES[event.cause]}", "bold red")
        elif isinstance(event, NewBoot):
            self._note(
                f"the worker was restarted; results of {event.former_boot_id[:8]} after "
                f"{event.former_newest_id} are in its ledger alone",
                "bold yellow",
            )
        elif isinstance(event, Damaged):
            self._note(f"a message that is not of this protocol: {event.detail}", "bold red")
        elif isinstance(event, LinkChanged) and not event.alive:
            self._note("the connection to the worker is gone", "bold red")
        elif isinstance(event, Silence):
            self._note(f"no worker heard for {event.seconds:.0f} s", "bold red")

    def heard_again(self) -> None:
        """Print that the worker is back."""
        self._note("worker heard", "green")

    def totals(self) -> Text:
        """The verdicts shown so far."""
        parts = [(f" {verdict} {self.verdicts[verdict]} ", STYLES[verdict]) for verdict in Verdict]
        return Text("  ").join(Text(text, style) for text, style in parts)

    def _state(self, state: WorkerState) -> None:
        if (state.boot_id, state.phase) != self._boot_and_phase:
            self._boot_and_phase = (state.boot_id, state.phase)
            cost = f", {state.part_ms:.3g} ms a part" if state.part_ms is not None else ""
            self._note(f"worker {state.boot_id[:8]} is {state.phase} on {state.device}{cost}", "cyan")
        for source in state.sources:
            if self._alive.get(source.endpoint, True) != source.alive:
                what = "is back" if source.alive else "is lost"
                name = f"{source.name} at {source.endpoint}" if source.name else source.endpoint
                self._note(f"camera {name} {what}", "green" if source.alive else "bold red")
            self._alive[source.endpoint] = source.alive

    def _note(self, text: str, style: str) -> None:
        self._console.print(Text(f"· {text}", style))


def watch(
    subscriber: ResultSubscriber,
    display: Display,
    *,
    pictures: RejectPictures | None = None,
    log: ResultLog | None = None,
    count: int | None = None,
    timeout_s: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Show events until `count` verdicts came, `timeout_s` passed or `stopped` is true; returns the number of verdicts.

    Raises InputError if a picture cannot be written.
    """
    seen = 0
    started_s = time.monotonic()
    silent = False
    until_s: float | None = None  # set when all verdicts have come
    while not stopped():
        events = subscriber.poll(POLL_S)
        if silent and any(not isinstance(event, LinkChanged | Silence) for event in events):
            silent = False
            display.heard_again()
        for event in events:
            silent = silent or isinstance(event, Silence)
            if isinstance(event, Received) and until_s is not None:
                continue  # one more than asked for
            if log is not None and isinstance(event, Received):
                log.write(event)
            display_event(event, display, pictures)
            seen += isinstance(event, Received)
            if count is not None and seen >= count and until_s is None:
                until_s = time.monotonic() + (LAST_MAPS_S if pictures else 0.0)
        now_s = time.monotonic()
        if (until_s is not None and now_s >= until_s) or (
            timeout_s is not None and now_s - started_s >= timeout_s
        ):
            break
    return seen


def display_event(event: Event, display: Display, pictures: RejectPictures | None) -> None:
    """Show one event, and write the picture of a rejected part."""
    display.show(event)
    if pictures is None:
        return
    if isinstance(event, Received):
        pictures.result(event.result)
    elif isinstance(event, AnomalyMaps):
        pictures.maps(event)
