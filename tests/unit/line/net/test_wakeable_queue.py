"""The queue between threads: order, wake-ups, and collecting a bounded share."""

import select

from cmfm_worker.line.net.wakeable_queue import WakeableQueue


def readable(queue: WakeableQueue[int]) -> bool:
    return bool(select.select([queue.fileno()], [], [], 0)[0])


def test_share_leaves_the_rest_readable() -> None:
    """Whoever collects some is woken for the rest, in order."""
    queue = WakeableQueue[int]()
    for number in range(10):
        queue.post(number)
    assert len(queue) == 10
    assert queue.collect(4) == [0, 1, 2, 3]
    assert readable(queue)
    assert queue.collect(100) == [4, 5, 6, 7, 8, 9]
    assert not readable(queue)
    assert queue.collect() == []
    queue.close()
