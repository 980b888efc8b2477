"""The accounting identity: triggers = pass + fail + undecided + fault + open, whenever it is read."""

import random
import sys
import threading
from dataclasses import replace
from types import FrameType
from typing import Any

from tests.unit.made.book import at, closed, due, new_book, sent
from tests.unit.made.verdicts import BASE_NS, FAIL, PASS, UNDECIDED

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_worker.line.health.totals import Totals
from cmfm_worker.line.messages import (
    Amended,
    Arrived,
    BookEvent,
    Contradicted,
    Noticed,
    Opened,
    SourceChanged,
    fault,
)


def random_event(rng: random.Random, ms: float) -> BookEvent:
    seq = rng.randrange(60)
    decision = rng.choice([PASS, FAIL, UNDECIDED, fault(Reason.LOST), replace(PASS, score=float("inf"))])
    sooner = due(seq, ms + rng.randrange(-5, 120), received_ns=rng.choice([None, BASE_NS]))
    events: list[BookEvent] = [
        Opened(sooner),
        Opened(sooner, decision),
        Arrived(sooner),
        Arrived(sooner, decision),
        Amended(sooner),
        Contradicted(sooner.key, fault(Reason.MALFORMED)),
        closed(seq, decision, rng.choice(["", "shed"])),
        Noticed("duplicate"),
        SourceChanged("tcp://c", alive=True),
    ]
    return rng.choices(events, weights=[16, 2, 6, 2, 1, 1, 12, 2, 2])[0]


def identity_holds(totals: Totals) -> bool:
    """The promise: every trigger has exactly one verdict or is open, and every verdict one reason."""
    return totals.triggers == totals.closed + totals.open and totals.closed == sum(totals.reasons.values())


def test_identity_holds_after_every_step() -> None:
    """8000 random events: the totals agree with an independent count of openings and of results sent."""
    rng, book = random.Random(7), new_book()
    opened, verdicts = 0, dict.fromkeys(Verdict, 0)
    still_open: set[int] = set()
    for step in range(8000):
        event, now = random_event(rng, step), at(step)
        if isinstance(event, Opened) and event.trigger.key.seq not in still_open:
            opened += 1
            still_open.add(event.trigger.key.seq)
        for result in sent(book.handle(event, now)):
            verdicts[result.verdict] += 1
            still_open.remove(result.seq)
        assert identity_holds(book.totals)
        assert (book.totals.triggers, book.totals.open) == (opened, len(still_open))
        assert {verdict: book.totals.verdicts[verdict] for verdict in Verdict} == verdicts
    assert len(sent(book.end(fault(Reason.DRAINING), at(8000)))) == len(still_open)
    assert identity_holds(book.totals)
    assert min(verdicts.values()) > 50  # the sequence did reach every verdict


def test_identity_holds_between_any_two_lines_of_the_book() -> None:
    """A scrape may land anywhere: read after every single line that runs, the totals agree."""
    rng, book, read = random.Random(8), new_book(), 0

    def trace(frame: FrameType, _event: str, _argument: object) -> Any:
        nonlocal read
        if "cmfm_worker/line" not in frame.f_code.co_filename:
            return None
        assert identity_holds(book.totals)
        read += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for step in range(300):
            book.handle(random_event(rng, step), at(step))
        book.end(fault(Reason.DRAINING), at(300))
    finally:
        sys.settrace(before)
    assert read > 3000


def test_identity_holds_for_a_reader_in_another_thread() -> None:
    """A thread that reads without pause while the book works never sees a trigger between open and closed."""
    rng, book, ended = random.Random(9), new_book(), threading.Event()
    read, wrong = 0, list[Totals]()

    def scrape() -> None:
        nonlocal read
        while not ended.is_set():
            totals = book.totals
            read += 1
            if not identity_holds(totals):
                wrong.append(totals)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    reader = threading.Thread(target=scrape)
    reader.start()
    try:
        for step in range(3000):
            book.handle(random_event(rng, step), at(step))
    finally:
        ended.set()
        reader.join()
        sys.setswitchinterval(interval)
    assert wrong == []
    assert read > 100
