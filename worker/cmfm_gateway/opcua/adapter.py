"""The OPC UA server as an adapter of the gateway. It has a thread and a loop of its own.

Decoding a large request, checking a password and building the address space take up to seconds of computation. In the
gateway's loop they would hold up Modbus and MQTT.
"""

import asyncio
import threading
from typing import Final

from cmfm_gateway.errors import AdapterError, InputError, StartupError
from cmfm_gateway.gateway import Gateway
from cmfm_gateway.opcua.bridge import NAME, LineBridge
from cmfm_gateway.opcua.serve import serve
from cmfm_gateway.settings.opcua import OpcUaSection

STOP_LIMIT_S: Final = 10.0
"""Time that the server has to close its connections at the end."""


class OpcUaAdapter:
    """Runs the server, and wakes it at each change of the line."""

    name = NAME

    def __init__(self, section: OpcUaSection) -> None:
        self._section = section

    async def run(self, gateway: Gateway) -> None:
        """Serve until cancelled. Raises StartupError if the port is taken, AdapterError if the server ends."""
        thread = ServerThread(LineBridge(gateway))
        thread.start()
        try:
            await thread.ready()
            waker = asyncio.create_task(_wake_at_changes(gateway, thread))
            try:
                await asyncio.shield(thread.end)
            finally:
                waker.cancel()
            thread.raise_failure()
        finally:
            await thread.stop()


async def _wake_at_changes(gateway: Gateway, thread: "ServerThread") -> None:
    seen = -1
    while True:
        seen = await gateway.changed(seen)
        thread.wake()


class ServerThread:
    """The thread of the server. Made and used in the gateway's loop."""

    def __init__(self, line: LineBridge) -> None:
        self._line = line
        self._home = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._home.create_future()
        self.end: asyncio.Future[None] = self._home.create_future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="opcua", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def ready(self) -> None:
        """Wait until the server listens. Raises what kept it from that."""
        await asyncio.wait({self._ready, self.end}, return_when=asyncio.FIRST_COMPLETED)
        self.raise_failure()

    def wake(self) -> None:
        """Tell the server that the line has changed."""
        if self._loop is not None and self._changed is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    def raise_failure(self) -> None:
        """Raise what ended the server, as an error of an adapter."""
        if self._failure is None:
            return
        if isinstance(self._failure, StartupError | InputError):
            raise self._failure
        raise AdapterError(f"the OPC UA server ended: {self._failure!r}") from self._failure

    async def stop(self) -> None:
        """End the server and wait for its thread."""
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)
        await asyncio.wait({self.end}, timeout=STOP_LIMIT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001  (the gateway's loop raises it)
            self._failure = error
        finally:
            self._tell(self.end)

    async def _main(self) -> None:
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        self._task = asyncio.current_task()
        await serve(self._line, self._changed, self._is_ready)

    def _is_ready(self) -> None:
        self._tell(self._ready)

    def _tell(self, future: "asyncio.Future[None]") -> None:
        if not self._home.is_closed():
            self._home.call_soon_threadsafe(_settle, future)


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
