"""Grades a PLC program: plays the vision system for it and watches what the program lets through.

On the bench the program takes a change of `bench_part` for its photo-eye, and writes what it does with each part to
`decision` (1 let through, 2 rejected, 3 diverted), then the part number to `decided_part`.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cmfm_gateway.grade.report import FailedError, Finding, Outcome
from cmfm_gateway.grade.vision_system import VisionSystem

PASS, FAIL, UNDECIDED, FAULT, UNKNOWN = 1, 2, 3, 4, 9
LET_THROUGH: Final = 1
WORDS: Final = {0: "made no decision about", 1: "let through", 2: "rejected", 3: "diverted"}
SETTLE_S: Final = 0.05
POLL_S: Final = 0.005


@dataclass(slots=True)
class PlcGrade:
    """Tools of the cases. `gate_s`: time from the photo-eye to the decision. `ack_s`: limit for an acknowledge.

    `beat_s`: limit for the PLC to notice a heartbeat that stands still.
    """

    vision: VisionSystem
    ack_s: float
    gate_s: float
    beat_s: float
    part: int = field(default=1000)

    def fire(self) -> int:
        """Let the next part pass the photo-eye; returns its part number."""
        self.part += 1
        self.vision.fire(self.part)
        return self.part

    async def decision(self, part: int) -> int:
        """Wait for the program's decision about a part; 0 if none comes within `gate_s` and a half."""
        end_s = time.monotonic() + 1.5 * self.gate_s
        while part not in self.vision.decisions and time.monotonic() < end_s:
            await asyncio.sleep(POLL_S)
        return self.vision.decisions.get(part, 0)

    async def require_rejected(self, part: int) -> str:
        """Require that a part was not let through, and that the program said what it did."""
        decision = await self.decision(part)
        if decision in (0, LET_THROUGH):
            raise FailedError(f"the program {WORDS[decision]} part {part}")
        return f"the program {WORDS.get(decision, 'did something unknown with')} part {part}"

    async def require_acknowledged(self) -> None:
        """Require that every result was acknowledged within `ack_s`."""
        end_s = time.monotonic() + self.ack_s
        while self.vision.waiting:
            if time.monotonic() > end_s:
                raise FailedError(f"a result was not acknowledged within {self.ack_s:g} s")
            await asyncio.sleep(POLL_S)


Case = Callable[[PlcGrade], Awaitable[str]]


async def lets_pass_through(grade: PlcGrade) -> str:
    """A part with a valid PASS of its own is let through."""
    part = grade.fire()
    await asyncio.sleep(SETTLE_S)
    grade.vision.give(part, PASS)
    decision = await grade.decision(part)
    if decision != LET_THROUGH:
        raise FailedError(f"the program {WORDS.get(decision, 'did something unknown with')} part {part}")
    return f"the program let through part {part}"


async def acknowledges_in_time(grade: PlcGrade) -> str:
    """Every result is acknowledged in time, and only after results valid has risen."""
    for _ in range(3):
        part = grade.fire()
        await asyncio.sleep(SETTLE_S)
        grade.vision.give(part, FAIL)
        await grade.require_acknowledged()
        await grade.decision(part)
    if grade.vision.early_acks:
        raise FailedError(f"{grade.vision.early_acks} acknowledges came while no result was shown")
    slowest = max(grade.vision.ack_times_s, default=0.0)
    return f"the slowest acknowledge took {slowest * 1000:.0f} ms"


async def _rejects(grade: PlcGrade, verdict: int) -> str:
    part = grade.fire()
    await asyncio.sleep(SETTLE_S)
    grade.vision.give(part, verdict)
    return await grade.require_rejected(part)


async def rejects_fail(grade: PlcGrade) -> str:
    """FAIL is rejected."""
    return await _rejects(grade, FAIL)


async def honours_undecided(grade: PlcGrade) -> str:
    """UNDECIDED is rejected, or diverted to a person."""
    return await _rejects(grade, UNDECIDED)


async def honours_fault(grade: PlcGrade) -> str:
    """FAULT is rejected."""
    return await _rejects(grade, FAULT)


async def rejects_unknown_codes(grade: PlcGrade) -> str:
    """A verdict code that is not in the table is rejected."""
    return await _rejects(grade, UNKNOWN)


async def rejects_on_silence(grade: PlcGrade) -> str:
    """A part without a result is rejected, also after one that passed."""
    await lets_pass_through(grade)
    return await grade.require_rejected(grade.fire())


async def ignores_stale_results(grade: PlcGrade) -> str:
    """A stale result (verdict 0, PASS on record) is rejected and still acknowledged."""
    part = grade.fire()
    await asyncio.sleep(SETTLE_S)
    grade.vision.give(part, PASS, stale=True)
    seen = await grade.require_rejected(part)
    await grade.require_acknowledged()
    return seen


async def ignores_other_parts(grade: PlcGrade) -> str:
    """The PASS of another part lets nothing through."""
    part = grade.fire()
    await asyncio.sleep(SETTLE_S)
    grade.vision.give(part + 500_000, PASS)
    return await grade.require_rejected(part)


async def ignores_late_results(grade: PlcGrade) -> str:
    """A PASS that comes after its part was decided does not let the next part through."""
    late = grade.fire()
    await grade.require_rejected(late)
    grade.vision.give(late, PASS)
    await asyncio.sleep(SETTLE_S)
    return await grade.require_rejected(grade.fire())


async def honours_offline(grade: PlcGrade) -> str:
    """While online is 0, nothing is let through."""
    grade.vision.online = False
    try:
        part = grade.fire()
        await asyncio.sleep(SETTLE_S)
        grade.vision.give(part, PASS)
        return await grade.require_rejected(part)
    finally:
        grade.vision.online = True
        grade.vision.step()


async def watches_the_heartbeat(grade: PlcGrade) -> str:
    """When the gateway's heartbeat stands still, nothing is let through."""
    grade.vision.beating = False
    try:
        await asyncio.sleep(grade.beat_s)
        part = grade.fire()
        await asyncio.sleep(SETTLE_S)
        grade.vision.give(part, PASS)
        return await grade.require_rejected(part)
    finally:
        grade.vision.beating = True
        await asyncio.sleep(SETTLE_S)


async def beats_itself(grade: PlcGrade) -> str:
    """The program changes `plc_heartbeat` within its time."""
    before = len(grade.vision.heartbeats)
    await asyncio.sleep(grade.beat_s)
    beats = len(grade.vision.heartbeats) - before
    if not beats:
        raise FailedError(f"plc_heartbeat did not change for {grade.beat_s:g} s")
    return f"it changed {beats} times in {grade.beat_s:g} s"


CASES: Final[tuple[Case, ...]] = (
    beats_itself,
    lets_pass_through,
    acknowledges_in_time,
    rejects_fail,
    honours_undecided,
    honours_fault,
    rejects_unknown_codes,
    rejects_on_silence,
    ignores_stale_results,
    ignores_other_parts,
    ignores_late_results,
    honours_offline,
    watches_the_heartbeat,
)


async def grade_plc(
    grade: PlcGrade, connect_s: float, told: Callable[[Finding], None], cases: Sequence[Case] = CASES
) -> list[Finding]:
    """Wait for the PLC to connect, then try the cases. `told` hears each finding at once."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(connect_s):
            await grade.vision.heard.wait()
    findings = []
    for case in cases:
        outcome, seen = Outcome.NOT_TRIED, f"no PLC connected within {connect_s:g} s"
        if grade.vision.heard.is_set():
            outcome, seen = await _try(case, grade)
        findings.append(Finding(case.__name__.replace("_", " "), (case.__doc__ or "").strip(), outcome, seen))
        told(findings[-1])
    return findings


async def _try(case: Case, grade: PlcGrade) -> tuple[Outcome, str]:
    """Run a case; also its results must have been acknowledged, so that the next case begins afresh."""
    try:
        seen = await case(grade)
        await grade.require_acknowledged()
    except FailedError as error:
        grade.vision.start_again()
        return Outcome.FAILED, str(error)
    return Outcome.PASSED, seen
