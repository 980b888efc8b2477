"""The methods of the two state machines: what a client may start, stop, reset and halt, and what that does."""

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from cmfm_gateway.opcua.bridge import LineBridge
from cmfm_gateway.opcua.errors import ErrorCode, MethodError
from cmfm_gateway.opcua.machine import Job, Machine, NotNowError, Step
from cmfm_gateway.opcua.recipes import Recipes
from cmfm_gateway.opcua.results import text_of
from cmfm_gateway.opcua.structures import JobIdDataType

Method = Callable[..., Awaitable[Sequence[Any]]]


def job_ids() -> Callable[[], str]:
    """Return a function that gives ids that no job had before, also not before a restart."""
    started_ms, numbers = time.time_ns() // 1_000_000, itertools.count(1)
    return lambda: f"job-{started_ms}-{next(numbers)}"


class Control:
    """Methods by name.

    `settled` is entered for each change: it waits until nothing else changes the machine, and takes the results that
    have come first. `take` is called with the steps that a method caused.
    """

    def __init__(
        self,
        line: LineBridge,
        machine: Machine,
        recipes: Recipes,
        take: Callable[[Sequence[Step]], Awaitable[None]],
        settled: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._line, self._machine, self._recipes = line, machine, recipes
        self._take, self._settled = take, settled

    def outer_methods(self) -> dict[str, Method]:
        """Return the methods of VisionStateMachine."""
        return {
            "Reset": self._reset,
            "Halt": self._halt,
            "SelectModeAutomatic": self._select_automatic,
        }

    def inner_methods(self) -> dict[str, Method]:
        """Return the methods of AutomaticModeStateMachine."""
        return {
            "StartSingleJob": self._start_single,
            "StartContinuous": self._start_continuous,
            "Stop": self._stop,
            "Abort": self._abort,
        }

    async def _reset(self, _cause: int, _text: str | None) -> Sequence[Any]:
        return await self._do(self._machine.reset)

    async def _halt(self, _cause: int, _text: str | None) -> Sequence[Any]:
        """Halt; with `halt_drains` the worker is told to end first. If it does not reply nothing changes."""
        if self._line.settings.opcua.halt_drains:
            try:
                await self._line.drain()
            except MethodError as error:
                return (int(error.code),)
        return await self._do(self._machine.halt)

    async def _select_automatic(self) -> Sequence[Any]:
        return await self._do(self._machine.select_automatic)

    async def _stop(self, _cause: int, _text: str | None) -> Sequence[Any]:
        return await self._do(lambda: self._machine.stop(abort=False))

    async def _abort(self, _cause: int, _text: str | None) -> Sequence[Any]:
        return await self._do(lambda: self._machine.stop(abort=True))

    async def _start_continuous(self, *arguments: Any) -> Sequence[Any]:
        return await self._start(*arguments, single=False)

    async def _start_single(self, *arguments: Any) -> Sequence[Any]:
        return await self._start(*arguments, single=True)

    async def _start(
        self, meas: Any, part: Any, recipe: Any, product: Any, parameters: Any, *, single: bool
    ) -> Sequence[Any]:
        """Start a job; a single one announces its part at the camera of the settings, if there is one."""
        job = Job(self._machine.new_job_id(), text_of(meas), text_of(part), text_of(recipe), text_of(product))
        if parameters or not all(map(str.isprintable, (job.meas_id, job.part_id, job.product_id))):
            return JobIdDataType(), int(ErrorCode.BAD_ARGUMENT)
        if job.recipe and job.recipe not in self._recipes.prepared:
            return JobIdDataType(), int(ErrorCode.UNKNOWN)
        (error,) = await self._do(lambda: self._machine.start(job, single=single))
        camera = self._line.settings.opcua.single_job_camera
        if single and camera and error == ErrorCode.OK:
            try:
                await self._line.announce(camera, job.part_id, job.recipe)
            except MethodError as failed:
                await self._do(lambda: self._machine.stop(abort=True))
                return JobIdDataType(), int(failed.code)
        return JobIdDataType(job.id if error == ErrorCode.OK else ""), error

    async def _do(self, change: Callable[[], list[Step]]) -> tuple[int]:
        async with self._settled():
            try:
                steps = change()
            except NotNowError:
                return (int(ErrorCode.NOT_NOW),)
            await self._take(steps)
        return (int(ErrorCode.OK),)
