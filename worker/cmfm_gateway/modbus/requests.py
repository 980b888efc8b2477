"""Modbus requests as bytes in, replies as bytes out, over whatever holds the registers.

pymodbus decodes the requests and encodes the replies. Its server is not used: it answers one request of a segment, and
a request that it cannot decode with an exception for function 0.
"""

import logging
import sqlite3
from collections.abc import Sequence
from typing import Final, Protocol

from pymodbus.constants import ExcCodes
from pymodbus.datastore import ModbusServerContext
from pymodbus.pdu import DecodePDU

READ: Final = frozenset({3, 4})
WRITE: Final = frozenset({6, 16, 22, 23})
"""Function codes: read holding and input registers; write one, several, by mask, and read with write."""

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # bad requests are counted and logged by the server


class RegisterAccess(Protocol):
    """Registers by address; the whole of a request happens in one step."""

    def read(self, address: int, count: int) -> list[int] | None:
        """Return registers; None if one of the addresses is illegal."""
        ...

    def write(self, address: int, values: list[int]) -> bool:
        """Write registers; False if one of the addresses is illegal, and nothing is written then."""
        ...


class _Context(ModbusServerContext):
    """The interface that pymodbus's requests call."""

    def __init__(self, registers: RegisterAccess) -> None:
        self._registers = registers

    async def async_getValues(  # noqa: N802 (pymodbus's name)
        self,
        device_id: int,  # noqa: ARG002 (every unit is the same vision system)
        func_code: int,  # noqa: ARG002 (holding and input registers are the same)
        address: int,
        count: int = 1,
    ) -> list[int] | list[bool] | ExcCodes:
        """Read registers."""
        found = self._registers.read(address, count)
        return ExcCodes.ILLEGAL_ADDRESS if found is None else found

    async def async_setValues(  # noqa: N802 (pymodbus's name)
        self,
        device_id: int,  # noqa: ARG002
        func_code: int,  # noqa: ARG002
        address: int,
        values: Sequence[int] | Sequence[bool],
    ) -> ExcCodes | None:
        """Write registers."""
        written = self._registers.write(address, [int(value) for value in values])
        return None if written else ExcCodes.ILLEGAL_ADDRESS


class RequestHandler:
    """Answers requests (PDUs, without their MBAP header)."""

    def __init__(self, registers: RegisterAccess) -> None:
        self._context = _Context(registers)
        self._decoder = DecodePDU(True)

    async def answer(self, request: bytes, unit: int) -> tuple[bytes, str]:
        """Return the reply, and the name of the Modbus exception in it; empty without one."""
        function = request[0]
        if function not in READ | WRITE:
            return _exception(function, ExcCodes.ILLEGAL_FUNCTION)
        pdu = self._decoder.decode(request) if len(request) >= _shortest(function) else None
        if pdu is None:
            return _exception(function, ExcCodes.ILLEGAL_VALUE)
        try:
            reply = await pdu.datastore_update(self._context, unit)
        except sqlite3.Error:  # the disk refused what must be durable
            return _exception(function, ExcCodes.DEVICE_FAILURE)
        name = ""
        if reply.function_code & 0x80:
            name = ExcCodes(reply.exception_code).name
        return bytes([reply.function_code]) + reply.encode(), name


def _shortest(function: int) -> int:
    return {16: 8, 22: 7, 23: 12}.get(function, 5)


def _exception(function: int, code: ExcCodes) -> tuple[bytes, str]:
    return bytes([function | 0x80, code]), code.name
