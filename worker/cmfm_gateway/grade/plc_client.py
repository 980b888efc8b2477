"""A PLC's end of the handshake over a Modbus connection: registers by name, waits with limits."""

import asyncio
import logging
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from cmfm_gateway.grade.report import FailedError
from cmfm_gateway.modbus.registers import BY_NAME, Control, Status, WordOrder
from cmfm_gateway.modbus.words import from_words, to_words

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # it dumps bytes on stderr; findings say what failed

POLL_S: Final = 0.01
REPLY_LIMIT_S: Final = 3.0


class PlcClient:
    """One connection at a time. Raises FailedError when the gateway cannot be reached or refuses a register."""

    def __init__(self, host: str, port: int, order: WordOrder) -> None:
        self._host, self._port, self._order = host, port, order
        self._client: AsyncModbusTcpClient | None = None

    async def __aenter__(self) -> "PlcClient":
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def connect(self) -> None:
        """Open a new connection; one that is open is closed first."""
        self.close()
        self._client = AsyncModbusTcpClient(
            self._host, port=self._port, timeout=REPLY_LIMIT_S, retries=0, reconnect_delay=0
        )
        if not await self._client.connect():
            raise FailedError(f"nobody answers at {self._host}:{self._port}")

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def get(self, name: str) -> float:
        """Read a register by its name."""
        register = BY_NAME[name]
        return from_words(register.kind, await self.words(register.address, register.kind.words), self._order)

    async def number(self, name: str) -> int:
        """Read a register that holds a whole number."""
        return int(await self.get(name))

    async def put(self, name: str, value: int) -> None:
        """Write a register by its name."""
        register = BY_NAME[name]
        try:
            words = list(to_words(register.kind, value, self._order))
            reply = await self._connected().write_registers(register.address, words)
        except ModbusException as error:
            raise FailedError(f"writing {name}: {error}") from error
        if reply.isError():
            raise FailedError(f"writing {name} was refused: {reply}")

    async def words(self, address: int, count: int) -> list[int]:
        """Read registers by address."""
        try:
            reply = await self._connected().read_holding_registers(address, count=count)
        except ModbusException as error:
            raise FailedError(f"reading {count} registers at {address}: {error}") from error
        if reply.isError():
            raise FailedError(f"reading {count} registers at {address} was refused: {reply}")
        return list(reply.registers)

    async def status(self) -> Status:
        """Read the status word."""
        return Status(await self.number("status"))

    async def wait(self, bit: Status, limit_s: float, *, present: bool = True) -> bool:
        """Wait until a status bit is set, or not; False after `limit_s`."""
        return await self.wait_for(lambda status: (bit in status) is present, limit_s)

    async def wait_for(self, condition: Callable[[Status], bool], limit_s: float) -> bool:
        """Wait until the status fulfils a condition; False after `limit_s`."""
        end_s = time.monotonic() + limit_s
        while not condition(await self.status()):
            if time.monotonic() > end_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def control(self, *bits: Control) -> None:
        """Write the control word, with `buffer results` always set."""
        word = Control.BUFFER_RESULTS
        for bit in bits:
            word |= bit
        await self.put("control", word)

    def _connected(self) -> AsyncModbusTcpClient:
        if self._client is None:
            raise FailedError("there is no connection")
        return self._client
