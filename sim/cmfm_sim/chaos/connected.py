"""Finds the times at which the camera was connected and nothing was disturbed: triggers of then must have a verdict.

Computed from the worker's state as the subscriber heard it, and from the acts of the run. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from cmfm_sim.chaos.peers import Event, back_ns
from cmfm_sim.chaos.run import Done

MARGIN_NS: Final = 2 * 10**9
"""Time before and after a disturbance in which messages may be lost with a process."""


class Span(NamedTuple):
    """From one time to another, CLOCK_REALTIME in nanoseconds."""

    from_ns: int
    until_ns: int

    def __contains__(self, at_ns: object) -> bool:
        return isinstance(at_ns, int) and self.from_ns <= at_ns < self.until_ns


def connected_spans(done: Sequence[Done], heard: Sequence[Event], endpoint: str) -> list[Span]:
    """Spans in which the worker reported the camera at `endpoint` as alive, MARGIN_NS off every disturbance.

    A rough camera and a second worker disturb nothing.
    """
    spans = [Span(start + MARGIN_NS, end - MARGIN_NS) for start, end in _alive(heard, endpoint)]
    for act in (act for act in done if act.kind.verb not in ("rough", "second")):
        disturbed = Span(act.at_ns - MARGIN_NS, back_ns(act, heard) + MARGIN_NS)
        spans = [piece for span in spans for piece in _without(span, disturbed)]
    return [span for span in spans if span.from_ns < span.until_ns]


def _alive(heard: Sequence[Event], endpoint: str) -> Iterator[Span]:
    since_ns: int | None = None
    boot_id = ""
    for event in heard:
        if event["event"] not in ("state", "link"):
            continue
        alive = event["event"] == "state" and event["alive"].get(endpoint, False)
        same = (event["event"] == "link" and event["alive"]) or (event.get("boot_id") == boot_id and alive)
        if since_ns is not None and not same:
            yield Span(since_ns, event["at_ns"])
            since_ns = None
        if alive and since_ns is None:
            since_ns, boot_id = event["at_ns"], event["boot_id"]


def _without(span: Span, hole: Span) -> list[Span]:
    pieces = [
        Span(span.from_ns, min(span.until_ns, hole.from_ns)),
        Span(max(span.from_ns, hole.until_ns), span.until_ns),
    ]
    return [piece for piece in pieces if piece.from_ns < piece.until_ns]
