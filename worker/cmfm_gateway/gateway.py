"""The gateway as an adapter sees it, and the supervision of adapters in one asyncio loop.

An adapter awaits `changed`, then reads `view` and the store by its own cursor: there is no queue that could overflow.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

import structlog

from cmfm_client import RequestClient
from cmfm_gateway.errors import AdapterError, StartupError, first_error
from cmfm_gateway.feed import Feed, read_keys
from cmfm_gateway.line_view import Cause, LineView
from cmfm_gateway.part_numbers import part_numbers
from cmfm_gateway.settings.model import GatewaySettings
from cmfm_gateway.store import ResultStore
from cmfm_gateway.triggers import TriggerCounts
from cmfm_protocol.wire.state import WorkerState
from cmfm_protocol.wire.trigger import TriggerMessage
from cmfm_service.line_owner import LineOwner, OwnerFile, said_last

TICK_S: Final = 0.1
"""Period at which silence is looked for."""

RESTART_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before an adapter that failed is started again; the last one repeats."""

STEADY_S: Final = 60.0
"""An adapter that ran this long starts with the first pause again."""

Answer = TypeVar("Answer")


class Adapter(Protocol):
    """One way out of the gateway: Modbus, OPC UA or MQTT."""

    name: str

    async def run(self, gateway: "Gateway") -> None:
        """Run until cancelled.

        Raises AdapterError with a sentence for the log; the adapter is started again. StartupError at its first start
        (a port is taken) ends the process with exit code 3.
        """
        ...


class Gateway:
    """The line and the store, as an adapter is given them. All methods are called from the asyncio loop.

    `counts[(adapter, what)]` are the counters of `count`; `part_number` is the configured rule. Raises InputError,
    StartupError, KeyFileError, EndpointError.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        section = settings.gateway
        self.part_number = part_numbers(section.part_number, section.part_table)
        self.store = ResultStore(
            section.store, keep=section.keep_results, max_bytes=int(section.max_mb * 1_000_000)
        )
        self.counts: Counter[tuple[str, str]] = Counter()
        self._keys = read_keys(settings.worker)
        self._triggers = TriggerCounts()
        self._seen_by_triggers = self.store.newest()
        self._log = structlog.get_logger("gateway")
        self._loop = asyncio.get_running_loop()
        self._change = 0
        self._event = asyncio.Event()
        self._feed = Feed(settings.worker, self.store, self._wake)
        self._taken_over = self._is_taken_over()
        self._owners: dict[str, bool] = {}
        self._owner_file = OwnerFile(section.owner) if section.owner is not None else None
        self._owned_before = section.owner is not None and said_last(section.owner) is LineOwner.PLC
        self._view = self.view

    @property
    def view(self) -> LineView:
        """The line at this moment; silence counts from the clock, not from an event.

        While an operator has taken the line over it is offline, however well the worker is.
        """
        view = self._feed.facts.view_at(time.monotonic(), self.settings.worker.silence_s)
        return replace(view, valid=False, cause=Cause.OFFLINE) if self._taken_over else view

    async def changed(self, seen: int) -> int:
        """Wait until the change counter differs from `seen` (a new result, a new view); return it. -1 never waits."""
        while self._change == seen:
            await self._event.wait()
        return self._change

    def owned(self, adapter: str, *, by_plc: bool) -> None:
        """Note whether a PLC of an adapter owns the line. Until an adapter knows, the word before a restart counts."""
        self._owners[adapter] = by_plc

    def count(self, adapter: str, what: str, by: int = 1) -> None:
        """Count something that `/metrics` shows as cmfm_gateway_events_total{adapter, what}."""
        self.counts[adapter, what] += by

    async def status(self) -> WorkerState:
        """Ask the worker for its state. Raises NoReplyError, RefusedError."""
        return await self._ask(lambda client: client.status())

    async def load_recipe(self, name: str) -> None:
        """Load or reload a recipe; returns when it is in use. Raises NoReplyError, RefusedError, LocalProtocolError."""
        await self._ask(lambda client: client.load_recipe(name))

    async def drain(self) -> None:
        """Tell the worker to end in order. Raises NoReplyError, RefusedError."""
        await self._ask(lambda client: client.drain())

    def stream_of(self, camera: str) -> str:
        """Return the present `stream_uuid` of a camera, by its name; empty if it has not been heard."""
        return self._triggers.stream_of(camera)

    async def announce(
        self,
        camera: str,
        part_id: str = "",
        recipe: str = "",
        *,
        seq: int | None = None,
        deadline_ms: float | None = None,
        encoder: int | None = None,
    ) -> int:
        """Announce that a camera's trigger has fired; returns its number.

        Without `seq` it is the next one of that camera (`TriggerCounts`); without `deadline_ms` the setting's. Raises
        NoReplyError, RefusedError, LocalProtocolError.
        """
        number = self._triggers.next_seq(camera) if seq is None else seq
        trigger = TriggerMessage(
            stream_uuid=camera,
            seq=number,
            part_id=part_id,
            trigger_ns=time.time_ns(),
            deadline_ms=self.settings.worker.deadline_ms if deadline_ms is None else deadline_ms,
            recipe=recipe,
            encoder=encoder,
        )
        self._triggers.announced(camera, number)
        await self._ask(lambda client: client.announce(trigger, camera=camera))
        return number

    async def run(self, adapters: Sequence[Adapter], ready: Callable[[], None] = lambda: None) -> None:
        """Run the feed and the adapters until cancelled. Raises StartupError, and the error that ended the feed."""
        self._feed.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tick())
                for adapter in adapters:
                    tasks.create_task(self._supervise(adapter))
                ready()
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            self._feed.close()
            self.store.close()

    async def _tick(self) -> None:
        """Tell adapters of silence and of an operator who takes the line over, and the page who owns the line."""
        while True:
            await asyncio.sleep(TICK_S)
            if self._feed.failure is not None:
                raise self._feed.failure
            self._taken_over = self._is_taken_over()
            if self._owner_file is not None:
                known = any(self._owners.values()) if self._owners else self._owned_before
                self._owner_file.tell(plc=known)
            if self.view != self._view:
                self._notify()

    def _is_taken_over(self) -> bool:
        """Tell whether an operator has the line; a file that cannot be looked at counts as one that is there."""
        file = self.settings.gateway.takeover
        try:
            return file is not None and file.exists()
        except OSError:
            return True

    async def _supervise(self, adapter: Adapter) -> None:
        failures = 0
        while True:
            started_s = time.monotonic()
            try:
                await adapter.run(self)
                self._log.warning("adapter_ended", adapter=adapter.name)
            except StartupError as error:
                if not failures:
                    raise
                self._log.warning("adapter_failed", adapter=adapter.name, error=str(error))
            except AdapterError as error:
                self._log.warning("adapter_failed", adapter=adapter.name, error=str(error))
            except Exception as error:  # noqa: BLE001 (our bug in one adapter must not stop the others)
                self._log.exception("adapter_bug", adapter=adapter.name, error=repr(error))
            self.count(adapter.name, "failed")
            failures = 1 if time.monotonic() - started_s > STEADY_S else failures + 1
            await asyncio.sleep(RESTART_S[min(failures, len(RESTART_S)) - 1])
            self._log.info("adapter_restarts", adapter=adapter.name)

    def _wake(self) -> None:
        """Called in the feed's thread."""
        self._loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        former, self._view = self._view, self.view
        if self._view.cause is not former.cause:
            self._log.info("line_view", valid=self._view.valid, cause=str(self._view.cause))
        self._follow_triggers()
        self._change += 1
        event, self._event = self._event, asyncio.Event()
        event.set()

    def _follow_triggers(self) -> None:
        if self._view.state is not None:
            self._triggers.saw_state(self._view.state)
        while found := self.store.after(self._seen_by_triggers):
            for stored in found:
                self._triggers.saw_result(stored.result)
            self._seen_by_triggers = found[-1].number

    async def _ask(self, question: Callable[[RequestClient], Answer]) -> Answer:
        """Ask in a thread of its own, with a client of its own: loading a recipe takes seconds."""
        answer: asyncio.Future[Answer] = self._loop.create_future()

        def ask() -> None:
            try:
                with RequestClient(self.settings.worker.control, keys=self._keys) as client:
                    value: Any = question(client)
                self._loop.call_soon_threadsafe(_settle, answer, value, None)
            except BaseException as error:  # noqa: BLE001 (the caller gets it)
                self._loop.call_soon_threadsafe(_settle, answer, None, error)

        threading.Thread(target=ask, name="request", daemon=True).start()
        return await answer


def _settle(answer: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)
