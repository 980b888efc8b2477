"""The end of an asyncio task in a test."""

import asyncio
import contextlib
from typing import Any

CANCEL_AGAIN_S = 2.0


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel a task, again while it goes on, and wait for it; raises what it raised.

    `asyncio.wait_for` of Python 3.11, which pymodbus and aiomqtt use, loses a cancellation that comes with an answer.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    with contextlib.suppress(asyncio.CancelledError):
        await task
