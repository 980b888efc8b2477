"""Requests to the worker's control socket, in a thread: no page waits in the event loop for a worker that is away."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cmfm_client import ClientError, RefusedError, RequestClient
from cmfm_hmi.errors import PageError
from cmfm_hmi.line.feed import read_keys
from cmfm_hmi.settings.worker import WorkerSection
from cmfm_protocol.wire.control import Reply, Request

MAX_REQUESTS: Final = 8
"""Requests under way at once; the next one is told that the page is busy."""


class WorkerRequests:
    """Sends requests, each over a connection of its own, at most `MAX_REQUESTS` at once."""

    def __init__(self, section: WorkerSection) -> None:
        self._section = section
        self._under_way = 0
        self._pool = ThreadPoolExecutor(MAX_REQUESTS, thread_name_prefix="requests")

    async def ask(self, request: Request, timeout_s: float = 2.0) -> Reply:
        """Return the worker's reply. Raises PageError: it did not answer, it refused, or too many are asked."""
        if self._under_way >= MAX_REQUESTS:
            raise PageError("busy")
        self._under_way += 1
        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, self.ask_now, request, timeout_s)
            return await running
        except RefusedError as error:
            raise PageError("worker_refused", 409, error=error) from error
        except ClientError as error:
            raise PageError("worker_away", error=error) from error
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """End the threads without waiting for a worker that is away."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ask_now(self, request: Request, timeout_s: float) -> Reply:
        """Blocking form of `ask`, for threads. Raises ClientError."""
        with RequestClient(self._section.control, keys=read_keys(self._section)) as client:
            return client.ask(request, timeout_s=timeout_s)
