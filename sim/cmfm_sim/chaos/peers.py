"""How soon a dead peer was reported: a camera by the worker's state, a worker by the subscriber's connection.

From what was done when, and what the subscriber heard when (`EventLog`); one machine, one clock. A death counts only
where somebody was there to report it: the peer was known to be alive, and worker and subscriber were running.
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
"""A death not reported within this was not reported."""

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
"""Who must be undisturbed for the report to arrive."""

BEFORE_NS: Final = 10**9
AFTER_NS: Final = 2 * 10**9
FOREVER_NS: Final = 10**18
"""A witness disturbed from this long before a death to this long after it tells nothing about how soon it is seen."""


@dataclass(frozen=True, slots=True)
class Report:
    """A death and after how many milliseconds it was reported; None where it was not."""

    kind: ActKind
    after_ms: float | None


def read_events(path: Path) -> list[Event]:
    """What the subscriber heard (`EventLog`). Raises InputError."""
    return [line for _, line in read_json_lines(path)]


def reports(done: Sequence[Done], heard: Sequence[Event], endpoint: str) -> list[Report]:
    """Every death that somebody could have reported; `endpoint` is the camera's."""
    return [
        Report(act.kind, _after_ms(act, heard, endpoint))
        for act in done
        if act.kind in DEATHS and _was_watched(act, done, heard, endpoint)
    ]


def spread_of(found: Sequence[Report]) -> Spread | None:
    """The distribution of those that were reported."""
    return Spread.of([report.after_ms for report in found if report.after_ms is not None])


def _was_watched(act: Done, done: Sequence[Done], heard: Sequence[Event], endpoint: str) -> bool:
    """Whether the peer was connected when it died, as far as the subscriber had heard, and nobody between disturbed."""
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
    """When what was disturbed was there again: a subscriber that was killed, when it has connected."""
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
    """What an event says about the peer; None where it says nothing."""
    if DEATHS[act.kind] == "worker":
        return bool(event["alive"]) if event["event"] == "link" else None
    return bool(event["alive"].get(endpoint, False)) if event["event"] == "state" else None


def _is_linked(event: Event) -> bool:
    """False where the subscriber has lost the worker: it knows of no camera then."""
    return event["event"] != "link" or bool(event["alive"])
