"""Maps in the verdict book: which are sent, when there is time for them, and what they never cost."""

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.made.book import at, closed, due, new_book, of_type, sent, sent_maps
from tests.unit.made.verdicts import FAIL, PASS, maps

from cmfm_protocol.clock import NS_PER_MS
from cmfm_protocol.wire.anomaly_map import decode_maps
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.line.messages import Opened, PartMaps
from cmfm_worker.line.verdicts.actions import LogError, SendMaps
from cmfm_worker.line.verdicts.map_queue import MAPS_WAITING
from cmfm_worker.settings.sections.records import PublishedMaps


@pytest.mark.parametrize(
    ("published", "shown"), [("all", ["PASS", "FAIL"]), ("rejected", ["FAIL"]), ("none", [])]
)
def test_maps_are_sent_as_the_settings_say(published: PublishedMaps, shown: list[str]) -> None:
    """A result names its map if one follows, and the map names its result."""
    book = new_book(published)
    results = []
    for seq, decision in enumerate((PASS, FAIL)):
        results += sent(book.handle(Opened(due(seq, 10), replace(decision, maps=maps())), at(0)))
    assert [str(result.verdict) for result in results if result.map_ref] == shown
    messages = of_type(SendMaps, [*book.send_map(at(0)), *book.send_map(at(0)), *book.send_map(at(0))])
    received = [decode_maps(message.message) for message in messages]
    assert [found.map_ref for found in received] == [result.map_ref for result in results if result.map_ref]
    assert all((found.psi_3d == maps().psi_3d).all() for found in received)


def test_maps_wait_while_a_deadline_is_near() -> None:
    """A map is sent if the next deadline is 2 ms away or more; until then the book is due at the deadline."""
    book = new_book()
    book.handle(Opened(due(1, 10)), at(0))
    assert book.due_ns(at(0).monotonic_ns) == 10 * NS_PER_MS
    book.handle(Opened(due(2, 10), replace(PASS, maps=maps())), at(0))
    assert book.send_map(at(8.1)) == []
    assert book.due_ns(at(8.1).monotonic_ns) == 10 * NS_PER_MS
    assert book.due_ns(at(8).monotonic_ns) == 8 * NS_PER_MS
    assert sent_maps(book.send_map(at(8))) == [2]
    assert book.send_map(at(8)) == []
    book.handle(closed(1, PASS), at(9))
    assert book.due_ns(at(9).monotonic_ns) is None


def test_oldest_maps_are_dropped_and_counted() -> None:
    """More maps than the queue holds cost the oldest maps, and no verdict."""
    book, results = new_book(), []
    for seq in range(MAPS_WAITING + 8):
        results += sent(book.handle(Opened(due(seq, 10), replace(PASS, maps=maps())), at(9)))
    assert [result.seq for result in results] == list(range(MAPS_WAITING + 8))
    assert sent_maps(book.send_map(at(9))) == [8]
    assert book.totals.noticed["map_dropped"] == 8


def test_maps_that_the_wire_forbids_cost_no_verdict() -> None:
    """Maps of a wrong shape are counted, logged and not sent."""
    plane = np.zeros((3, 3), np.float32)
    wrong = PartMaps(plane, plane, plane, np.zeros((3, 3, 3), np.uint8), plane, plane > 0)
    book = new_book()
    (result,) = sent(book.handle(Opened(due(1, 10), replace(PASS, maps=wrong)), at(0)))
    assert result.verdict is Verdict.PASS
    (error,) = of_type(LogError, book.send_map(at(0)))
    assert (error.event, error.facts["map_ref"]) == ("map_not_sendable", "boot/1")
    assert book.totals.noticed["map_not_sendable"] == 1
