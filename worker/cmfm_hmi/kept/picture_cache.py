"""Pictures that many browsers ask for: made once, in a small pool, and kept up to a size."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import structlog

from cmfm_hmi.errors import PageError
from cmfm_protocol.files.dataset_error import DatasetError
from cmfm_settings.errors import InputError

THREADS: Final = 2
MAX_WAITING: Final = 64
"""Pictures that wait for their turn; the next one is told that the page is busy."""

MAX_BYTES: Final = 48_000_000
LIMIT_S: Final = 15.0
Key = tuple[str, str]


class PictureCache:
    """Makes pictures in threads. Requests for one that is being made wait for it. For one event loop."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="pictures")
        self._max_bytes = max_bytes
        self._bytes = 0
        self._made: OrderedDict[Key, bytes] = OrderedDict()  # the one asked for last at the end
        self._making: dict[Key, asyncio.Future[bytes]] = {}
        self._log = structlog.get_logger("pictures")

    async def get(self, key: Key, make: Callable[[], bytes]) -> bytes:
        """Return the picture of a key, made by `make` if it is not here.

        Raises PageError: the part's files cannot be used, the page is busy, or it takes too long.
        """
        if key in self._made:
            self._made.move_to_end(key)
            return self._made[key]
        making = self._making.get(key) or self._start(key, make)
        try:
            async with asyncio.timeout(LIMIT_S):
                return await asyncio.shield(making)
        except TimeoutError:
            raise PageError("too_slow", 504, seconds=LIMIT_S) from None
        except FileNotFoundError:
            raise PageError("part_gone", 404) from None
        except (InputError, DatasetError, OSError, ValueError, MemoryError) as error:
            self._log.warning("picture_failed", part=key[0], picture=key[1], error=str(error))
            raise PageError("records", 404, error=error) from error

    def close(self) -> None:
        """End the threads; pictures that wait are not made."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, key: Key, make: Callable[[], bytes]) -> "asyncio.Future[bytes]":
        if len(self._making) >= MAX_WAITING:
            raise PageError("busy")
        making = asyncio.get_running_loop().run_in_executor(self._pool, make)
        self._making[key] = making
        making.add_done_callback(lambda done: self._keep(key, done))
        return making

    def _keep(self, key: Key, made: "asyncio.Future[bytes]") -> None:
        self._making.pop(key, None)
        if made.cancelled() or made.exception() is not None:
            return
        self._made[key] = made.result()
        self._bytes += len(made.result())
        while self._bytes > self._max_bytes:
            self._bytes -= len(self._made.popitem(last=False)[1])
