"""A verdict book without a thread: triggers and times for it, and what its actions send."""

from collections.abc import Iterable
from typing import Any, TypeVar

from tests.unit.made.verdicts import BASE_NS, trigger

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.anomaly_map import decode_maps
from cmfm_protocol.wire.result import Result, decode_result
from cmfm_protocol.wire.topics import topic
from cmfm_worker.line.messages import Closed, Decision, Trigger, TriggerKey
from cmfm_worker.line.verdicts.actions import Action, Now, SendMaps, SendResult
from cmfm_worker.line.verdicts.verdict_book import VerdictBook
from cmfm_worker.settings.sections.records import PublishedMaps

A = TypeVar("A")


def new_book(published: PublishedMaps = "all") -> VerdictBook:
    return VerdictBook(
        boot_id="boot",
        result_topic=topic("line1", "station1", "result"),
        map_topic=topic("line1", "station1", "map"),
        maps=published,
    )


def at(ms: float) -> Now:
    """So many milliseconds after the start, three ring slots free."""
    return Now(int(ms * NS_PER_MS), BASE_NS + int(ms * NS_PER_MS), 3)


def due(seq: int, ms: float, **changes: Any) -> Trigger:
    """Trigger `seq`, due so many milliseconds after the start."""
    return trigger(seq, int(ms * NS_PER_MS), **changes)


def closed(seq: int, decision: Decision, noticed: str = "") -> Closed:
    return Closed(TriggerKey("cam", seq), decision, noticed)


def of_type(kind: type[A], actions: Iterable[Action]) -> list[A]:
    return [action for action in actions if isinstance(action, kind)]


def sent(actions: Iterable[Action]) -> list[Result]:
    """The results as a subscriber decodes them."""
    return [decode_result(action.message) for action in of_type(SendResult, actions)]


def sent_maps(actions: Iterable[Action]) -> list[int]:
    """The numbers of the parts whose maps are sent."""
    return [decode_maps(action.message).seq for action in of_type(SendMaps, actions)]
