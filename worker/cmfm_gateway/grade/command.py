"""`cmfm-gateway grade`: run the cases, print the report, say by the exit code how it went."""

import asyncio
import sys
from collections.abc import Sequence

from cmfm_gateway.errors import ExitCode
from cmfm_gateway.grade.against_gateway import GatewayGrade, grade_gateway
from cmfm_gateway.grade.against_plc import PlcGrade, grade_plc
from cmfm_gateway.grade.plc_client import PlcClient
from cmfm_gateway.grade.report import FailedError, Finding, is_good, report
from cmfm_gateway.grade.vision_system import VisionSystem
from cmfm_gateway.modbus.registers import WordOrder
from cmfm_gateway.modbus.requests import RequestHandler
from cmfm_gateway.modbus.server import ModbusServer
from cmfm_gateway.settings.modbus import ModbusSection

CONNECT_S = 60.0


def run_against_gateway(host: str, port: int, order: WordOrder, ack_s: float, part_s: float) -> int:
    """Play a bad PLC against the gateway at `host`:`port`; returns the exit code."""

    async def run() -> list[Finding]:
        async with PlcClient(host, port, order) as plc:
            return await grade_gateway(GatewayGrade(plc, ack_s, part_s), _tell)

    try:
        return _print(asyncio.run(run()))
    except FailedError as error:
        sys.stderr.write(f"cmfm-gateway: {error}\n")
        return int(ExitCode.STARTUP)


def run_against_plc(host: str, port: int, order: WordOrder, grade_limits: tuple[float, float, float]) -> int:
    """Play the vision system on `host`:`port` for a PLC program; returns the exit code. Raises StartupError."""
    ack_s, gate_s, beat_s = grade_limits

    async def run() -> list[Finding]:
        vision = VisionSystem(order)
        section = ModbusSection(host=host, port=port, connections=16)
        server = ModbusServer(section, None, RequestHandler(vision), lambda _: None)
        async with server.listening() as number:
            sys.stderr.write(f"the vision system listens on {host}:{number}; let the PLC connect\n")
            return await grade_plc(PlcGrade(vision, ack_s, gate_s, beat_s), CONNECT_S, _tell)

    return _print(asyncio.run(run()))


def _tell(finding: Finding) -> None:
    sys.stderr.write(f"{finding.outcome}: {finding.name}\n")


def _print(findings: Sequence[Finding]) -> int:
    sys.stdout.write(report(findings))
    return int(ExitCode.OK if is_good(findings) else ExitCode.BUG)
