"""Plays a PLC that misbehaves against a running gateway, and grades the gateway. A line must bring parts meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cmfm_gateway.grade.plc_client import PlcClient
from cmfm_gateway.grade.report import FailedError, Finding, NotTriedError, Outcome
from cmfm_gateway.modbus.registers import END, Alarm, Control, ErrorCode, Status

VALID: Final = Status.RESULTS_VALID
ACK: Final = Control.RESULTS_ACK
FALL_S: Final = 1.0
"""Time within which `results valid` must fall after an acknowledge."""

UNKNOWN_RECIPE: Final = 65_535


@dataclass(frozen=True, slots=True)
class GatewayGrade:
    """Tools of the cases: the PLC's end, the gateway's limit for acknowledges, and how long to wait for a part."""

    plc: PlcClient
    ack_s: float
    part_s: float

    async def shown(self) -> int:
        """Wait for a result to be shown; return its number. Raises NotTriedError if no part comes."""
        await self.plc.control()
        if not await self.plc.wait(VALID, self.part_s):
            raise NotTriedError(f"no result came within {self.part_s:g} s; let the line bring parts")
        return await self.plc.number("result.result_number")

    async def acknowledge(self) -> None:
        """One acknowledge, whole. Raises FailedError if results valid does not fall."""
        await self.plc.control(ACK)
        if not await self.plc.wait(VALID, FALL_S, present=False):
            raise FailedError(f"results valid did not fall within {FALL_S:g} s of the acknowledge")
        await self.plc.control()

    async def require_next(self, former: int, overruns: int, seen: str) -> str:
        """Require that the next result is the one after `former`, less those that were counted as overruns."""
        number = await self.shown()
        dropped = await self.plc.number("overruns") - overruns
        if number != former + 1 + dropped:
            raise FailedError(f"after result {former} came {number}, with {dropped} counted as overruns")
        return f"{seen}; after result {former} came {number}"


Case = Callable[[GatewayGrade], Awaitable[str]]


async def heartbeat(grade: GatewayGrade) -> str:
    """The heartbeat counts while the gateway runs."""
    seen = [await grade.plc.number("heartbeat")]
    for _ in range(2):
        await asyncio.sleep(0.3)
        seen.append(await grade.plc.number("heartbeat"))
    if len(set(seen)) < 3:
        raise FailedError(f"the heartbeat stood still: {seen}")
    return f"it counted {seen[0]}, {seen[1]}, {seen[2]}"


async def one_after_another(grade: GatewayGrade) -> str:
    """Five results come in order, each after the acknowledge of the one before."""
    number, overruns = await grade.shown(), await grade.plc.number("overruns")
    for _ in range(4):
        await grade.acknowledge()
        await grade.require_next(number, overruns, "")
        number, overruns = await grade.shown(), await grade.plc.number("overruns")
    await grade.acknowledge()
    return f"the last one was {number}"


async def reads_while_low(grade: GatewayGrade) -> str:
    """While results valid is low, the block holds no result and no verdict."""
    await grade.shown()
    await grade.plc.control(ACK)
    if not await grade.plc.wait(VALID, FALL_S, present=False):
        raise FailedError("results valid did not fall")
    number, verdict = await grade.plc.number("result.result_number"), await grade.plc.number("result.verdict")
    await grade.plc.control()
    if number or verdict:
        raise FailedError(f"result {number} with verdict {verdict} could be read")
    return "result number and verdict were 0"


async def acknowledges_late(grade: GatewayGrade) -> str:
    """A late acknowledge sets the alarm bit and its counter, and still confirms its own result."""
    number, late = await grade.shown(), await grade.plc.number("acks_late")
    overruns = await grade.plc.number("overruns")
    await asyncio.sleep(grade.ack_s + 0.3)
    alarms = Alarm(await grade.plc.number("alarms"))
    if Alarm.ACK_LATE not in alarms or await grade.plc.number("acks_late") <= late:
        raise FailedError(f"alarms were {alarms!r} after {grade.ack_s + 0.3:g} s without acknowledge")
    if await grade.plc.number("result.result_number") != number:
        raise FailedError("another result was shown meanwhile")
    await grade.acknowledge()
    await grade.plc.control(Control.CLEAR_ERROR)
    return await grade.require_next(number, overruns, "the alarm was set")


async def acknowledges_twice(grade: GatewayGrade) -> str:
    """Writing the acknowledge twice confirms one result, not two."""
    number, overruns = await grade.shown(), await grade.plc.number("overruns")
    await grade.plc.control(ACK)
    await grade.plc.control(ACK)
    await grade.plc.wait(VALID, FALL_S, present=False)
    await grade.plc.control(ACK)
    await grade.plc.control()
    return await grade.require_next(number, overruns, "one result was confirmed")


async def never_acknowledges(grade: GatewayGrade) -> str:
    """A result that is never acknowledged is not replaced; what is dropped behind it is counted."""
    number = await grade.shown()
    newest, overruns = await grade.plc.number("newest_number"), await grade.plc.number("overruns")
    for _ in range(6):
        await asyncio.sleep(grade.ack_s / 2)
        if await grade.plc.number("result.result_number") != number:
            raise FailedError(f"result {number} was replaced before it was acknowledged")
    came = await grade.plc.number("newest_number") - newest
    await grade.acknowledge()
    return await grade.require_next(number, overruns, f"it stayed while {came} more came")


async def reconnects(grade: GatewayGrade) -> str:
    """A connection that is cut in mid-handshake loses no result and confirms none."""
    number, overruns = await grade.shown(), await grade.plc.number("overruns")
    await grade.plc.connect()
    if await grade.shown() != number:
        raise FailedError(f"result {number} was gone after the PLC had connected again")
    await grade.plc.control(ACK)
    await grade.plc.connect()
    if VALID in await grade.plc.status():
        raise FailedError("results valid was high although the acknowledge was")
    await grade.plc.control()
    return await grade.require_next(number, overruns, "the result was there again")


async def wrong_number(grade: GatewayGrade) -> str:
    """An acknowledge with another number confirms nothing and is an alarm."""
    number, overruns = await grade.shown(), await grade.plc.number("overruns")
    await grade.plc.put("ack_number", number + 1000)
    await grade.plc.control(ACK)
    await asyncio.sleep(0.2)
    alarms, status = Alarm(await grade.plc.number("alarms")), await grade.plc.status()
    await grade.plc.put("ack_number", 0)
    await grade.plc.control(Control.CLEAR_ERROR)
    if VALID not in status or Alarm.WRONG_ACK not in alarms:
        raise FailedError(f"status {status!r}, alarms {alarms!r}")
    await grade.acknowledge()
    return await grade.require_next(number, overruns, "the result stayed, the alarm was set")


async def unknown_recipe(grade: GatewayGrade) -> str:
    """Selecting a recipe that is not there fails, with the error that says so."""
    plc = grade.plc
    await plc.put("recipe_argument", UNKNOWN_RECIPE)
    await plc.put("command", 1)
    await plc.control(Control.EXECUTE_COMMAND)
    await plc.wait_for(lambda status: bool(status & (Status.COMMAND_COMPLETED | Status.COMMAND_FAILED)), 5.0)
    status, error = await plc.status(), await plc.number("error")
    await plc.put("recipe_argument", 0)
    await plc.control()
    if Status.COMMAND_FAILED not in status or error != ErrorCode.UNKNOWN_RECIPE.number:
        raise FailedError(f"status {status!r}, error {error}")
    if not await plc.wait(Status.COMMAND_FAILED, 1.0, present=False):
        raise FailedError("command failed did not fall with execute command")
    return f"command failed, error {error}"


async def offline(grade: GatewayGrade) -> str:
    """Set offline by the PLC, the gateway shows no valid verdict and the reason."""
    await grade.plc.control(Control.SET_OFFLINE)
    status, verdict = await grade.plc.status(), await grade.plc.number("result.verdict")
    await grade.plc.control()
    reason = status >> 4 & 7
    if Status.ONLINE in status or verdict or reason != 1:
        raise FailedError(f"status {status!r}, verdict {verdict}")
    return "online was 0, reason 1, verdict 0"


async def illegal_address(grade: GatewayGrade) -> str:
    """A read beyond the table is refused, and the connection goes on."""
    try:
        await grade.plc.words(END, 1)
    except FailedError:
        return f"refused; then the heartbeat was {await grade.plc.number('heartbeat')}"
    raise FailedError(f"register {END} could be read")


CASES: Final[tuple[Case, ...]] = (
    heartbeat,
    illegal_address,
    unknown_recipe,
    offline,
    one_after_another,
    reads_while_low,
    acknowledges_twice,
    acknowledges_late,
    never_acknowledges,
    wrong_number,
    reconnects,
)


async def grade_gateway(
    grade: GatewayGrade, told: Callable[[Finding], None], cases: Sequence[Case] = CASES
) -> list[Finding]:
    """Try the cases; a case that fails does not stop the others. `told` hears each finding at once."""
    findings = []
    for case in cases:
        outcome, seen = Outcome.PASSED, ""
        try:
            seen = await case(grade)
        except FailedError as error:
            outcome, seen = Outcome.FAILED, str(error)
        except NotTriedError as error:
            outcome, seen = Outcome.NOT_TRIED, str(error)
        demand = (case.__doc__ or "").strip()
        findings.append(Finding(case.__name__.replace("_", " "), demand, outcome, seen))
        told(findings[-1])
    return findings
