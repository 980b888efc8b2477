"""Workers of teaching: each computes with one thread, and none goes on when the command has ended."""

import threading
import time
from concurrent.futures import CancelledError, Future

import pytest
import torch

from cmfm_worker.cfm.classic.extractor import ClassicExtractor
from cmfm_worker.cfm.extractor import ExtractorIdentity
from cmfm_worker.teaching.workers import Workers, one_at_a_time, workers_for


def test_every_worker_computes_with_one_thread_and_the_command_s_own_number_comes_back() -> None:
    """While workers run, nobody divides an operation; afterwards torch has as many threads as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with workers_for(ClassicExtractor()) as workers:
            both = threading.Barrier(3)

            def threads() -> int:
                both.wait(10)
                return torch.get_num_threads()

            side_by_side = [workers.submit(threads) for _ in range(3)]
            assert [one.result(10) for one in side_by_side] == [1, 1, 1]
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_paper_s_networks_are_not_run_side_by_side() -> None:
    """Their products are large: torch divides them, in the caller's thread."""

    class Paper(ClassicExtractor):
        identity = ExtractorIdentity("paper", "1", 12, 128)

    before = torch.get_num_threads()
    with workers_for(Paper()) as workers:
        assert workers.submit(threading.get_ident).result() == threading.get_ident()
        assert torch.get_num_threads() == before
        with pytest.raises(ZeroDivisionError):
            workers.submit(lambda: 1 / 0).result()


def test_a_command_that_fails_stops_its_workers_soon() -> None:
    """A long fit is not awaited: it ends at its next report, and what has not begun does not begin."""
    began, reports, running = threading.Event(), list[int](), list[Future[None]]()

    def long(workers: Workers) -> None:
        began.set()
        for step in range(1000):
            time.sleep(0.01)
            workers.require_running()
            reports.append(step)

    def interrupted() -> None:
        with workers_for(ClassicExtractor()) as workers:
            running.extend(workers.submit(long, workers) for _ in range(torch.get_num_threads() + 4))
            began.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert isinstance(running[0].exception(0), CancelledError)
    assert len(reports) < 500


def test_reports_come_one_at_a_time() -> None:
    """A callback that is not made for threads is never called by two at once."""
    inside, most = [0], [0]

    def report(stage: str, done: int, total: int) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.002)
        inside[0] -= 1

    safe = one_at_a_time(report)
    threads = [threading.Thread(target=lambda: [safe("fit", i, 9) for i in range(9)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
