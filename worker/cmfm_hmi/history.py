"""Questions to the ledger and to files, in a few threads, each with a time limit: no page waits for the disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import structlog

from cmfm_hmi.errors import InputError, MissingError, PageError
from cmfm_hmi.settings.records import RecordsSection
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_records.ledger import LedgerReader, open_ledger

THREADS: Final = 3
LOCKED_S: Final = 2.0
"""Longest wait for a ledger that another program locks: the person is told so before `query_s` is over."""

MAX_WAITING: Final = 32
"""Questions asked at once; the next one is told that the page is busy."""

Answer = TypeVar("Answer")


class History:
    """Asks the ledger, and reads files, in threads. Every failure is a PageError with a sentence for the person."""

    def __init__(self, section: RecordsSection) -> None:
        self._section = section
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="history")
        self._asked = 0
        self._log = structlog.get_logger("history")

    @property
    def section(self) -> RecordsSection:
        """Where the line's records are."""
        return self._section

    async def ask(self, question: Callable[[LedgerReader], Answer]) -> Answer:
        """Return what `question` returns for the open ledger. It runs in a thread and must not return a generator.

        Raises PageError: no ledger, one that is locked or damaged, too slow, or too many questions.
        """
        path = self._section.ledger
        if path is None:
            raise PageError("no_ledger")
        wait_s = min(LOCKED_S, self._section.query_s / 2)
        return await self.read(lambda: _ask(path, question, wait_s))

    async def read(self, work: Callable[[], Answer], limit_s: float | None = None) -> Answer:
        """Return what `work` returns; it runs in a thread. Raises PageError as `ask` does."""
        if self._asked >= MAX_WAITING:
            raise PageError("busy")
        self._asked += 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        running.add_done_callback(self._done)
        try:
            async with asyncio.timeout(limit_s or self._section.query_s):
                return await asyncio.shield(running)
        except TimeoutError:
            raise PageError("too_slow", 504, seconds=limit_s or self._section.query_s) from None
        except MissingError as error:
            raise PageError("missing", 404, error=error) from error
        except (InputError, DatasetError, OSError) as error:
            self._log.warning("records_unreadable", error=str(error))
            raise PageError("records", error=error) from error

    def close(self) -> None:
        """End the threads without waiting for questions that are still running."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, running: "asyncio.Future[Answer]") -> None:
        self._asked -= 1
        if not running.cancelled():
            running.exception()  # a question that nobody waits for any more may fail unseen


def _ask(path: Path, question: Callable[[LedgerReader], Answer], wait_s: float) -> Answer:
    with open_ledger(path, wait_s=wait_s) as reader:
        return question(reader)
