"""Server-sent events: a response that sends each browser the board's newest state, as fast as that browser reads."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cmfm_hmi.board.board import LiveBoard

SEND_LIMIT_S: Final = 30.0
"""A browser that takes nothing for so long is disconnected."""

RETRY: Final = b"retry: 1000\n\n"
"""The browser connects again after a second."""


class BoardStream(Response):
    """The stream of one browser. It holds one message at a time, however slowly the browser reads.

    It ends when `may_look` says no: the session behind it was logged out, or its user removed.
    """

    media_type = "text/event-stream"

    def __init__(self, board: LiveBoard, may_look: Callable[[], bool]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._board = board
        self._may_look = may_look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the browser goes, or the page ends."""
        del scope
        self._board.watch()
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._board.unwatch()
            for task in (sending, gone):
                task.cancel()
            await asyncio.wait({sending, gone})
        if not sending.cancelled() and (error := sending.exception()) is not None:
            raise error

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        body, seen = RETRY, -1
        try:
            while True:
                async with asyncio.timeout(SEND_LIMIT_S):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                state = await self._board.newer(seen)
                if state is None or not self._may_look():
                    break
                body, seen = state.message(seen), state.version
        except TimeoutError:
            structlog.get_logger("board").warning("browser_too_slow", seconds=SEND_LIMIT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
