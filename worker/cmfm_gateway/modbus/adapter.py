"""The Modbus adapter: a server for PLCs, or a client of one PLC's registers (`client`)."""

import asyncio
import contextlib
from typing import Final

import structlog

from cmfm_gateway.gateway import Gateway
from cmfm_gateway.modbus.client import exchange_with_plc
from cmfm_gateway.modbus.plc_port import CONSUMER, PlcPort
from cmfm_gateway.modbus.requests import RequestHandler
from cmfm_gateway.modbus.server import ModbusServer, server_context
from cmfm_gateway.settings.modbus import ModbusSection

STEP_S: Final = 0.05
"""Longest time between two looks at the clock: late acknowledges and a silent PLC are found within it."""


class ModbusAdapter:
    """Serves the registers, or exchanges them with a PLC. Raises InputError naming a certificate file."""

    name = CONSUMER

    def __init__(self, section: ModbusSection) -> None:
        self._section = section
        self._tls = server_context(section)

    async def run(self, gateway: Gateway) -> None:
        """Run until cancelled. Raises StartupError if the port is taken, AdapterError if a PLC does not answer."""
        port = PlcPort(self._section, gateway)
        if self._section.role == "client":
            await exchange_with_plc(self._section, port, lambda what: gateway.count(CONSUMER, what))
            return
        server = ModbusServer(
            self._section, self._tls, RequestHandler(port), lambda what: gateway.count(CONSUMER, what)
        )
        async with server.listening() as number:
            structlog.get_logger("modbus").info("modbus_listening", host=self._section.host, port=number)
            await step_for_ever(gateway, port)


async def step_for_ever(gateway: Gateway, port: PlcPort) -> None:
    """Step with every change of the line, and by the clock."""
    change = -1
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STEP_S):
                change = await gateway.changed(change)
        port.step()
