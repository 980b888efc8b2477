"""Spreads teaching over the cores of a CPU: whole frames and whole fits side by side, each on one thread.

A fit is some thousand steps of a dozen small operations. Divided among threads, each operation waits for the slowest
of them, and beside other programs the others spend that time waiting. Side by side nothing waits, so a fit takes the
same CPU time on a busy machine, and its result does not depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from typing import ParamSpec, TypeVar

import torch

from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.progress import ReportProgress

P = ParamSpec("P")
R = TypeVar("R")


class Workers:
    """Runs functions on threads that compute with one thread each, or without a pool in the caller's thread.

    `ahead` is the number of results that may be under way before one is awaited.
    """

    def __init__(self, pool: ThreadPoolExecutor | None, threads: int) -> None:
        self.ahead = 0 if pool is None else 2 * threads
        self._pool = pool
        self._stopped = Event()

    def submit(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Begin `function`; without a pool, run it now. What it raises is raised by the future's `result`."""
        if self._pool is not None:
            return self._pool.submit(function, *args, **kwargs)
        done = Future[R]()
        try:
            done.set_result(function(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (raised again by `result`)
            done.set_exception(error)
        return done

    def require_running(self) -> None:
        """Raise CancelledError if the command has ended. Long functions call this now and then."""
        if self._stopped.is_set():
            raise CancelledError

    def stop(self) -> None:
        """Tell functions that nobody waits for their results any more."""
        self._stopped.set()


@contextmanager
def workers_for(extractor: Extractor) -> Iterator[Workers]:
    """Yield as many workers as torch may use threads, and let the caller compute with one thread meanwhile.

    `paper` has products large enough to be divided, and other devices than a CPU take one thread's work at a time: for
    them everything runs in the caller's thread.
    """
    if extractor.identity.preset == "paper" or extractor.device.type != "cpu":
        yield Workers(None, 1)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="teach", initializer=_compute_with_one_thread)
    workers = Workers(pool, threads)
    try:
        yield workers
    finally:
        workers.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)


def one_at_a_time(progress: ReportProgress) -> ReportProgress:
    """Return the same callback for reports from several threads."""
    lock = Lock()

    def report(stage: str, done: int, total: int) -> None:
        with lock:
            progress(stage, done, total)

    return report


def _compute_with_one_thread() -> None:
    torch.get_num_threads()  # before its first use of it, torch gives a thread what was set last in any thread
    torch.set_num_threads(1)
