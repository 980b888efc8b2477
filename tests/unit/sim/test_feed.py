"""Reading parts ahead of their triggers."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.unit.made.line_messages import pictures

from cmfm_protocol.files.dataset import DatasetError
from cmfm_sim.conveyor import Trigger, plan_triggers
from cmfm_sim.feed import READ_AHEAD, Feed, Pictures, ReadPart

from .made_values import lot


class Disk:
    """Counts what is read; parts in `torn` cannot be."""

    def __init__(self, torn: Path | None = None) -> None:
        self.read: list[Path] = []
        self._torn = torn

    def __call__(self, trigger: Trigger) -> Pictures:
        if trigger.files.rgb == self._torn:
            raise DatasetError(f"{self._torn} is torn")
        self.read.append(trigger.files.rgb)
        return pictures()


def take_into(parts: list[ReadPart], feed: Feed) -> list[ReadPart]:
    while not feed.finished:
        part = feed.take()
        if part is None:
            time.sleep(0.001)
        else:
            parts.append(part)
    return parts


def take_all(feed: Feed) -> list[ReadPart]:
    return take_into([], feed)


def test_parts_come_in_the_order_of_their_triggers() -> None:
    """All of them, each once."""
    with Feed(plan_triggers([lot(5)], passes=3), distinct=5, read=Disk()) as feed:
        assert [part.trigger.seq for part in take_all(feed)] == list(range(15))


def test_parts_that_fit_are_read_once_and_all_before_the_first_trigger() -> None:
    """The disk is idle while triggers fire."""
    disk, told = Disk(), list[tuple[int, int]]()
    with Feed(plan_triggers([lot(30)], passes=4), distinct=30, read=disk) as feed:
        feed.preroll(lambda done, total: told.append((done, total)))
        assert len(set(disk.read)) == 30
        take_all(feed)
    assert len(disk.read) == 30
    assert told[-1][0] == told[-1][1]


def test_parts_that_do_not_fit_are_read_a_bounded_number_ahead() -> None:
    """Memory is bounded for a data set of any size."""
    disk = Disk()
    with Feed(plan_triggers([lot(100)]), distinct=100, cache_bytes=1, read=disk) as feed:
        feed.preroll()
        time.sleep(0.05)
        assert READ_AHEAD <= len(disk.read) <= READ_AHEAD + 1
        assert len(take_all(feed)) == 100


def test_a_torn_file_is_found_before_the_first_trigger() -> None:
    """If all parts fit into the cache."""
    disk = Disk(torn=Path("003.png"))
    with (
        Feed(plan_triggers([lot(5)]), distinct=5, read=disk) as feed,
        pytest.raises(DatasetError, match=r"003\.png is torn"),
    ):
        feed.preroll()


def test_a_torn_file_met_later_is_reported_in_its_turn() -> None:
    """The parts before it are sent."""
    with Feed(plan_triggers([lot(40)]), distinct=40, cache_bytes=1, read=Disk(torn=Path("030.png"))) as feed:
        feed.preroll()
        taken: list[ReadPart] = []
        with pytest.raises(DatasetError):
            take_into(taken, feed)
        assert len(taken) == 30
        assert not feed.finished


def test_a_feed_that_is_left_leaves_no_thread() -> None:
    """Even when nobody took anything."""
    before = threading.active_count()
    with Feed(plan_triggers([lot(100)], passes=10), distinct=100, cache_bytes=1, read=Disk()) as feed:
        feed.preroll()
    assert threading.active_count() == before


def test_preroll_ends_when_stopped() -> None:
    """Ctrl-C does not wait for the disk."""
    release = threading.Event()

    def slow(_: Trigger) -> Pictures:
        release.wait(10)
        return np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.float32)

    with Feed(plan_triggers([lot(5)]), distinct=5, read=slow) as feed:
        feed.preroll(stopped=lambda: True)
        release.set()
