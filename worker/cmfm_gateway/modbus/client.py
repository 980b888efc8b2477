"""The client mode: writes the output registers into a PLC and reads the PLC's control registers, by the same table.

The status word is written last, in a request of its own: when `results valid` rises in the PLC, the block is there.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from cmfm_gateway.errors import AdapterError
from cmfm_gateway.modbus.plc_port import PlcPort
from cmfm_gateway.modbus.registers import BY_NAME, CONTROL, CONTROL_END, OUTPUT
from cmfm_gateway.settings.modbus import ModbusSection

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # our log says that the PLC does not answer

MAX_WRITE: Final = 120
"""Registers in one request; Modbus allows 123."""

REPLY_LIMIT_S: Final = 1.0


async def exchange_with_plc(section: ModbusSection, port: PlcPort, count: Callable[[str], None]) -> None:
    """Exchange registers every `period_ms` until cancelled. Raises AdapterError when the PLC cannot be reached."""
    client = AsyncModbusTcpClient(
        section.host, port=section.port, timeout=REPLY_LIMIT_S, retries=0, reconnect_delay=0
    )
    written: list[int] = []
    try:
        if not await client.connect():
            raise AdapterError(f"the PLC at {section.host}:{section.port} cannot be reached")
        while True:
            started_s = asyncio.get_running_loop().time()
            await _read_control(client, section, port)
            written = await _write_output(client, section, port.output().words, written)
            spent_s = asyncio.get_running_loop().time() - started_s
            await asyncio.sleep(max(section.period_ms / 1000 - spent_s, 0))
    except (ModbusException, OSError) as error:
        count("plc_unreachable")
        raise AdapterError(f"the PLC at {section.host}:{section.port} does not answer: {error}") from error
    finally:
        client.close()


async def _read_control(client: AsyncModbusTcpClient, section: ModbusSection, port: PlcPort) -> None:
    reply = await client.read_holding_registers(section.client_control, count=CONTROL_END - CONTROL)
    if reply.isError():
        raise AdapterError(f"the PLC refuses to give {CONTROL_END} registers from {section.client_control}")
    port.write(CONTROL, reply.registers)


async def _write_output(
    client: AsyncModbusTcpClient, section: ModbusSection, words: list[int], written: list[int]
) -> list[int]:
    """Write what has changed; returns what the PLC now has."""
    status = BY_NAME["status"].address - OUTPUT
    for first in range(status + 1, len(words), MAX_WRITE):
        part = words[first : first + MAX_WRITE]
        if part != written[first : first + MAX_WRITE]:
            await _write(client, section.client_output + first, part)
    if words[status : status + 1] != written[status : status + 1]:
        await _write(client, section.client_output + status, words[status : status + 1])
    return words


async def _write(client: AsyncModbusTcpClient, address: int, values: list[int]) -> None:
    reply = await client.write_registers(address, values)
    if reply.isError():
        raise AdapterError(f"the PLC refuses {len(values)} registers at {address}")
