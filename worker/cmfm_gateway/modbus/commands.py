"""Triggers and commands that a PLC starts: asked of the worker in the background, the outcome told to the handshake."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

import structlog

from cmfm_client import NoReplyError, RefusedError
from cmfm_gateway.gateway import Gateway
from cmfm_gateway.modbus.handshake import Handshake
from cmfm_gateway.modbus.registers import ErrorCode
from cmfm_gateway.settings.modbus import ModbusSection
from cmfm_protocol.wire.errors import LocalProtocolError

SELECT_RECIPE, ANNOUNCE_TRIGGER, RESET_COUNTERS, DRAIN = 1, 2, 3, 4

Arguments = Callable[[str], int]
Announced = Callable[[str, int, int], None]
"""(camera, seq, encoder) of a trigger that the worker has taken."""

NO_RECIPE: Final = 0


class _CommandError(Exception):
    def __init__(self, code: ErrorCode) -> None:
        super().__init__(code.meaning)
        self.code = code


class CommandRunner:
    """Runs one trigger and one command at a time. `selected` is the number of the selected recipe."""

    def __init__(
        self, section: ModbusSection, gateway: Gateway, handshake: Handshake, announced: Announced
    ) -> None:
        self._section, self._gateway = section, gateway
        self._handshake, self._announced = handshake, announced
        self._names = {number: name for name, number in section.recipes.items()}
        self._log = structlog.get_logger("modbus")
        self._tasks: set[asyncio.Task[None]] = set()
        self.selected = NO_RECIPE

    def camera(self, number: int) -> str | None:
        """Return the name of a camera number, 0 as 1; None for one that the settings do not have."""
        cameras = self._section.cameras
        return cameras[max(number, 1) - 1] if number <= len(cameras) else None

    def trigger(self, arguments: Arguments) -> None:
        """Announce a trigger with the arguments of this moment."""
        self._start("trigger", self._announce(_frozen(arguments)), self._handshake.trigger_done)

    def command(self, arguments: Arguments) -> None:
        """Start the command in register `command`."""
        values = _frozen(arguments)
        work = {
            SELECT_RECIPE: self._select,
            ANNOUNCE_TRIGGER: self._announce,
            RESET_COUNTERS: self._reset,
            DRAIN: self._drain,
        }.get(values("command"), self._unknown)
        self._start(f"command {values('command')}", work(values), self._handshake.command_done)

    def _start(self, what: str, work: Coroutine[None, None, None], done: Callable[[ErrorCode], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._run(what, work, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, what: str, work: Coroutine[None, None, None], done: Callable[[ErrorCode], None]
    ) -> None:
        code, detail = ErrorCode.NONE, ""
        try:
            await work
        except _CommandError as error:
            code, detail = error.code, str(error)
        except (RefusedError, LocalProtocolError) as error:
            code, detail = ErrorCode.REFUSED, str(error)
        except NoReplyError as error:
            code, detail = ErrorCode.NO_REPLY, str(error)
        done(code)
        if code is ErrorCode.NONE:
            self._log.info("plc_command", what=what)
        else:
            self._gateway.count("modbus", "commands_failed")
            self._log.warning("plc_command_failed", what=what, error=code.number, detail=detail)

    async def _select(self, arguments: Arguments) -> None:
        number = arguments("recipe_argument")
        await self._gateway.load_recipe(self._recipe(number))
        self.selected = number

    async def _announce(self, arguments: Arguments) -> None:
        camera = self.camera(arguments("camera_argument"))
        if camera is None:
            raise _CommandError(ErrorCode.UNKNOWN_CAMERA)
        number, part, deadline = (
            arguments(name) for name in ("trigger_argument", "part_argument", "deadline_argument")
        )
        recipe = arguments("recipe_argument") or self.selected
        encoder = arguments("encoder_argument")
        seq = await self._gateway.announce(
            camera,
            part_id=str(part) if part else "",
            recipe=self._recipe(recipe) if recipe else "",
            seq=number - 1 if number else None,
            deadline_ms=float(deadline) if deadline else None,
            encoder=encoder,
        )
        self._announced(camera, seq, encoder)

    async def _reset(self, _arguments: Arguments) -> None:
        self._handshake.reset_counters()

    async def _drain(self, _arguments: Arguments) -> None:
        await self._gateway.drain()

    async def _unknown(self, _arguments: Arguments) -> None:
        raise _CommandError(ErrorCode.UNKNOWN_COMMAND)

    def _recipe(self, number: int) -> str:
        if number not in self._names:
            raise _CommandError(ErrorCode.UNKNOWN_RECIPE)
        return self._names[number]


def _frozen(arguments: Arguments) -> Arguments:
    """The argument registers as they are now: the PLC may write the next ones while the worker is asked."""
    names = ("command", "recipe_argument", "camera_argument", "deadline_argument", "part_argument")
    values = {name: arguments(name) for name in (*names, "trigger_argument", "encoder_argument")}
    return values.__getitem__
