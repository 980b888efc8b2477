"""Measures the time until a dead peer is reported: a camera by the worker's state, a worker by the subscriber's link.

Computed from the acts of the run and the subscriber's `EventLog`; one machine, one clock. A death counts only if it
could be reported: the peer was known to be alive, and worker and subscriber were running.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cmfm_client.json_lines import read_json_lines
from cmfm_sim.chaos.plan import ActKind
from cmfm_sim.chaos.run import Done
from cmfm_sim.spread import Spread

Event = dict[str, Any]

HORIZON_NS: Final = 5 * 10**9
"""A death that is not reported within this time counts as not reported."""

DEATHS: Final = {
    ActKind.KILL_CAMERA: "camera",
    ActKind.STOP_CAMERA: "camera",
    ActKind.KILL_WORKER: "worker",
    ActKind.STOP_WORKER: "worker",
}

WITNESSES: Final = {
    "camera": ("worker", "subscriber", "frames", "results"),
    "worker": ("subscriber", "results"),
}
"""Processes and connections that must be undisturbed for the report to arrive."""

BEFORE_NS: Final = 10**9
AFTER_NS: Final = 2 * 10**9
FOREVER_NS: Final = 10**18
"""From BEFORE_NS before a death to AFTER_NS after it no witness may be disturbed. FOREVER_NS: it never came back."""


@dataclass(frozen=True, slots=True)
class Report:
    """A death, and the milliseconds until it was reported; None if it was not."""

    kind: ActKind
    after_ms: float | None


def read_events(path: Path) -> list[Event]:
    """Read the subscriber's `EventLog`. Raises RecordError."""
    return [line for _, line in read_json_lines(path)]


def reports(done: Sequence[Done], heard: Sequence[Event], endpoint: str) -> list[Report]:
    """Every death that could have been reported; `endpoint` is the camera's."""
    return [
        Report(act.kind, _after_ms(act, heard, endpoint))
        for act in done
        if act.kind in DEATHS and _was_watched(act, done, heard, endpoint)
    ]


def spread_of(found: Sequence[Report]) -> Spread | None:
    """Percentiles of the deaths that were reported."""
    return Spread.of([report.after_ms for report in found if report.after_ms is not None])


def _was_watched(act: Done, done: Sequence[Done], heard: Sequence[Event], endpoint: str) -> bool:
    """True if the peer was connected when it died, as the subscriber had heard, and no witness was disturbed."""
    witnesses = WITNESSES[DEATHS[act.kind]]
    for other in done:
        if (
            other.kind.target in witnesses
            and other.at_ns < act.at_ns + AFTER_NS
            and back_ns(other, heard) > act.at_ns - BEFORE_NS
        ):
            return False
    alive = False
    for event in heard:
        if event["at_ns"] >= act.at_ns:
            break
        said = _says_alive(event, act, endpoint)
        alive = said if said is not None else alive and _is_linked(event)
    return alive


def back_ns(act: Done, heard: Sequence[Event]) -> int:
    """The time at which an act was over; for a subscriber that was killed, at which it had connected again."""
    if act.kind is not ActKind.KILL_SUBSCRIBER:
        return act.until_ns
    linked = (e["at_ns"] for e in heard if e["event"] == "link" and e["alive"] and e["at_ns"] > act.until_ns)
    return next(linked, act.until_ns + FOREVER_NS)


def _after_ms(act: Done, heard: Sequence[Event], endpoint: str) -> float | None:
    for event in heard:
        if (
            act.at_ns <= event["at_ns"] <= act.at_ns + HORIZON_NS
            and _says_alive(event, act, endpoint) is False
        ):
            return float(event["at_ns"] - act.at_ns) / 1e6
    return None


def _says_alive(event: Event, act: Done, endpoint: str) -> bool | None:
    """True or False if an event says that the peer is alive or dead, else None."""
    if DEATHS[act.kind] == "worker":
        return bool(event["alive"]) if event["event"] == "link" else None
    return bool(event["alive"].get(endpoint, False)) if event["event"] == "state" else None


def _is_linked(event: Event) -> bool:
    """False if the subscriber has lost the worker: it knows nothing about the camera then."""
    return event["event"] != "link" or bool(event["alive"])
