"""The line as the server's thread sees it. The gateway lives in another thread's loop; this is the only way there."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from cmfm_client.errors import NoReplyError, RefusedError
from cmfm_gateway.gateway import Gateway
from cmfm_gateway.line_view import LineView
from cmfm_gateway.opcua.errors import ErrorCode, MethodError
from cmfm_gateway.settings.model import GatewaySettings
from cmfm_gateway.store import ResultStore
from cmfm_protocol.wire.errors import LocalProtocolError

NAME = "opcua"
"""Name of the adapter in counters, and of its cursor in the store."""


class LineBridge:
    """Passes requests to the gateway's loop; everything else is read where it is, the store being thread-safe."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._loop = asyncio.get_running_loop()

    @property
    def settings(self) -> GatewaySettings:
        """All settings."""
        return self._gateway.settings

    @property
    def store(self) -> ResultStore:
        """Stored results."""
        return self._gateway.store

    @property
    def view(self) -> LineView:
        """The line at this moment."""
        return self._gateway.view

    def count(self, what: str) -> None:
        """Count something in the metrics."""
        self._loop.call_soon_threadsafe(self._gateway.count, NAME, what)

    def owned(self, *, by_plc: bool) -> None:
        """Note whether an OPC UA client owns the line."""
        self._loop.call_soon_threadsafe(partial(self._gateway.owned, NAME, by_plc=by_plc))

    async def load_recipe(self, name: str) -> None:
        """Load a recipe at the worker. Raises MethodError."""
        await self._ask(lambda: self._gateway.load_recipe(name))

    async def announce(self, camera: str, part_id: str, recipe: str) -> None:
        """Tell the worker that a camera's trigger has fired. Raises MethodError."""
        await self._ask(lambda: self._gateway.announce(camera, part_id, recipe))

    async def drain(self) -> None:
        """Tell the worker to end in order. Raises MethodError."""
        await self._ask(self._gateway.drain)

    async def _ask(self, question: Callable[[], Coroutine[Any, Any, object]]) -> None:
        future = asyncio.run_coroutine_threadsafe(question(), self._loop)
        try:
            await asyncio.wrap_future(future)
        except NoReplyError as error:
            raise MethodError(ErrorCode.NO_REPLY, str(error)) from error
        except RefusedError as error:
            raise MethodError(ErrorCode.REFUSED, str(error)) from error
        except LocalProtocolError as error:
            raise MethodError(ErrorCode.BAD_ARGUMENT, str(error)) from error
