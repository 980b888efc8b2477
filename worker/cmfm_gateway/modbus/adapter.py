"""The Modbus adapter."""

from cmfm_gateway.gateway import Gateway
from cmfm_gateway.settings.modbus import ModbusSection


class ModbusAdapter:
    """Serves the registers."""

    name = "modbus"

    def __init__(self, section: ModbusSection) -> None:
        self._section = section

    async def run(self, gateway: Gateway) -> None:
        """Run until cancelled."""
        change = -1
        while True:
            change = await gateway.changed(change)
