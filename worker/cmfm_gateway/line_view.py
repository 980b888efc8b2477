"""Tells from what was heard of the worker whether its verdicts may be acted on. Pure: times come in.

The rules, strictest first: the store must take results; the newest worker state must be at most `silence_s` old; its
phase must be `ready`; no result may be missing. A result that is missing for good keeps the line not valid until the
next worker state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from cmfm_client import Event, IdRange, Lost, Received, ReceivedIds
from cmfm_protocol.wire.state import WorkerState


class Cause(StrEnum):
    """Why verdicts may not be acted on. The list is fixed; Modbus numbers it (`modbus.codes`)."""

    NONE = ""
    SILENCE = "silence"  # no worker state for `silence_s`, or none yet
    STARTING = "starting"  # the worker warms up
    DRAINING = "draining"  # the worker accepts no further part
    STOPPED = "stopped"  # the worker has ended in order
    GAP = "gap"  # results are missing
    STORE = "store"  # the gateway cannot write its store
    OFFLINE = (
        "offline"  # an operator took the line over; or a PLC set the gateway offline, which its adapter says
    )


@dataclass(frozen=True, slots=True)
class LineView:
    """The line as an adapter sees it at one moment.

    `valid`: verdicts may be acted on. `cause` says why not. `state` is the newest worker state. `lost` counts the
    results that are known to be lost since the gateway's start.
    """

    valid: bool = False
    cause: Cause = Cause.SILENCE
    state: WorkerState | None = None
    lost: int = 0


@dataclass(frozen=True, slots=True)
class LineFacts:
    """Facts heard of the line so far; `view_at` gives the view of a moment.

    `heard_s`: when `state` arrived. `missing`: results that are still wanted. `given_up`: results were lost since the
    last worker state. `store_fails`: the newest results could not be stored.
    """

    state: WorkerState | None = None
    heard_s: float = 0.0
    missing: int = 0
    given_up: bool = False
    lost: int = 0
    store_fails: bool = False

    def view_at(self, now_s: float, silence_s: float) -> LineView:
        """Return the view at `now_s`, on the clock of `heard_s`."""
        cause = self._cause(now_s, silence_s)
        return LineView(cause is Cause.NONE, cause, self.state, self.lost)

    def _cause(self, now_s: float, silence_s: float) -> Cause:
        if self.store_fails:
            return Cause.STORE
        if self.state is None or now_s - self.heard_s > silence_s:
            return Cause.SILENCE
        if self.state.phase != "ready":
            return Cause(self.state.phase)
        return Cause.GAP if self.missing or self.given_up else Cause.NONE


class LineWatch:
    """Takes the events of a subscriber and keeps the facts about the line.

    `received` is what an earlier run of the gateway received, by boot, the latest boot last: what is published after
    that is missing until it is recovered.
    """

    def __init__(self, received: Mapping[str, ReceivedIds] | None = None) -> None:
        self.facts = LineFacts()
        self._boot_id, known = next(reversed(list((received or {}).items())), ("", ReceivedIds()))
        self._ids = ReceivedIds(known.newest, list(known.owed))

    def take(self, event: Event, now_s: float) -> LineFacts:
        """Return the facts after an event that arrived at `now_s`."""
        if isinstance(event, Received):
            self._follow(event.result.boot_id, event.result.result_id - 1)
            self._ids.take(event.result.result_id)
        elif isinstance(event, WorkerState):
            self._follow(event.boot_id, event.published)
            self.facts = replace(self.facts, state=event, heard_s=now_s, given_up=False)
        elif isinstance(event, Lost):
            if event.missing.boot_id == self._boot_id:
                self._ids.remove(IdRange(event.missing.first_id, event.missing.last_id))
            self.facts = replace(self.facts, lost=self.facts.lost + len(event.missing), given_up=True)
        self.facts = replace(self.facts, missing=sum(last - first + 1 for first, last in self._ids.owed))
        return self.facts

    def store_failed(self, fails: bool) -> LineFacts:
        """Note whether the newest results could be stored."""
        self.facts = replace(self.facts, store_fails=fails)
        return self.facts

    def _follow(self, boot_id: str, published: int) -> None:
        """Note that a boot has published results up to `published`.

        The first boot of all is followed from where it is: what came before the gateway is not missing.
        """
        if boot_id != self._boot_id:
            is_first = not self._boot_id
            self._boot_id = boot_id
            self._ids = ReceivedIds(newest=published if is_first else 0)
        self._ids.expect(published)
