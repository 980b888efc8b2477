"""The grade: it passes the gateway and a good PLC program, and finds each mistake that programs make."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway.modbus.test_server import serving
from tests.unit.made.ended_task import end
from tests.unit.made.plc_program import Flaws, PlcProgram
from tests.unit.made.publishing_line import PublishingLine

from cmfm_gateway.grade.against_gateway import CASES as GATEWAY_CASES
from cmfm_gateway.grade.against_gateway import GatewayGrade, grade_gateway
from cmfm_gateway.grade.against_plc import CASES as PLC_CASES
from cmfm_gateway.grade.against_plc import PlcGrade, grade_plc
from cmfm_gateway.grade.plc_client import PlcClient
from cmfm_gateway.grade.report import Finding, Outcome, is_good, report
from cmfm_gateway.grade.vision_system import VisionSystem
from cmfm_gateway.modbus.handshake import Handshake
from cmfm_gateway.modbus.requests import RequestHandler
from cmfm_gateway.modbus.server import ModbusServer
from cmfm_gateway.settings.modbus import ModbusSection
from cmfm_sim.ports import free_ports


@pytest.fixture
def line() -> Iterator[PublishingLine]:
    with PublishingLine() as made:
        yield made


def words(case: Callable[..., Any]) -> str:
    return case.__name__.replace("_", " ")


def failed(findings: list[Finding]) -> set[str]:
    return {finding.name for finding in findings if finding.outcome is not Outcome.PASSED}


async def graded(
    line: PublishingLine, folder: Path, *, parts: bool = True, only: set[str] | None = None, **modbus: Any
) -> list[Finding]:
    """The grade of a gateway whose line brings a part every 30 ms."""
    folder.mkdir(exist_ok=True)
    cases = [case for case in GATEWAY_CASES if only is None or words(case) in only]

    async def bring_parts() -> None:
        while True:
            line.publish()
            line.heartbeat()
            await asyncio.sleep(0.03)

    async with (
        serving(line, folder, ack_s=0.2, **modbus) as (_, port),
        PlcClient("127.0.0.1", port, "high_first") as plc,
    ):
        task = asyncio.create_task(bring_parts() if parts else asyncio.sleep(0))
        findings = await grade_gateway(GatewayGrade(plc, ack_s=0.2, part_s=0.5), lambda _: None, cases)
        await end(task)
        return findings


def test_the_gateway_passes_its_own_grade(line: PublishingLine, tmp_path: Path) -> None:
    """Every case is tried against a running gateway, and passes."""
    findings = asyncio.run(graded(line, tmp_path))
    assert failed(findings) == set(), report(findings)
    assert len(findings) == len(GATEWAY_CASES)
    assert is_good(findings)


def test_a_gateway_that_forgets_the_handshake_fails(
    line: PublishingLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that always shows the newest result, and one whose acknowledge takes two."""
    expected = {"never acknowledges", "acknowledges late"}
    assert failed(asyncio.run(graded(line, tmp_path / "a", only=expected, results="newest"))) == expected
    acknowledge = Handshake._acknowledge

    def twice(self: Handshake, inputs: Any) -> None:
        acknowledge(self, inputs)
        self.confirmed += 1

    monkeypatch.setattr(Handshake, "_acknowledge", twice)
    expected = {"one after another"}
    assert failed(asyncio.run(graded(line, tmp_path / "b", only=expected))) == expected


def test_without_parts_the_cases_are_not_tried(line: PublishingLine, tmp_path: Path) -> None:
    """The report says what to do, and the grade is not good."""
    findings = asyncio.run(graded(line, tmp_path, parts=False))
    tried = {finding.name for finding in findings if finding.outcome is Outcome.PASSED}
    assert tried == {"heartbeat", "illegal address", "unknown recipe", "offline"}
    assert "let the line bring parts" in report(findings)
    assert not is_good(findings)


async def plc_graded(flaws: Flaws | None, only: set[str] | None = None) -> list[Finding]:
    cases = [case for case in PLC_CASES if only is None or words(case) in only]
    port, vision = free_ports(1)[0], VisionSystem("high_first")
    gate_s, beat_s = 0.15, 0.4
    server = ModbusServer(ModbusSection(port=port), None, RequestHandler(vision), lambda _: None)
    async with server.listening():
        program = asyncio.create_task(PlcProgram(port, gate_s, beat_s, flaws).run()) if flaws else None
        grade = PlcGrade(vision, ack_s=0.3, gate_s=gate_s + 0.3, beat_s=beat_s)
        findings = await grade_plc(grade, 2.0 if flaws else 0.1, lambda _: None, cases)
        if program is not None:
            await end(program)
    return findings


def test_a_good_program_passes() -> None:
    """The program of docs/plc.md."""
    findings = asyncio.run(plc_graded(Flaws()))
    assert failed(findings) == set(), report(findings)
    assert len(findings) == len(PLC_CASES)


@pytest.mark.parametrize(
    ("flaws", "found"),
    [
        (Flaws(never_acknowledges=True), {"acknowledges in time", "lets pass through"}),
        (Flaws(passes_on_silence=True), {"rejects on silence", "ignores stale results"}),
        (Flaws(takes_record=True), {"ignores stale results"}),
        (Flaws(passes_unknown=True), {"honours undecided", "honours fault", "rejects unknown codes"}),
        (Flaws(ignores_part_number=True), {"ignores other parts"}),
        (Flaws(keeps_verdict=True), {"rejects on silence"}),
        (Flaws(ignores_heartbeat=True), {"watches the heartbeat"}),
        (Flaws(no_heartbeat=True), {"beats itself"}),
    ],
    ids=lambda value: "" if isinstance(value, Flaws) else "+".join(sorted(value)),
)
def test_each_mistake_is_found(flaws: Flaws, found: set[str]) -> None:
    """By the case that is meant for it."""
    assert failed(asyncio.run(plc_graded(flaws, found))) == found


def test_no_plc_is_said() -> None:
    """Nothing is tried, and nothing is good."""
    findings = asyncio.run(plc_graded(None))
    assert {finding.outcome for finding in findings} == {Outcome.NOT_TRIED}
    assert "no PLC connected" in report(findings)
    assert not is_good(findings)
