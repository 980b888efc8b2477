"""The section `[modbus]`."""

from pydantic import Field

from cmfm_settings.section import Section


class ModbusSection(Section):
    """Modbus TCP, server and client."""

    enabled: bool = Field(False, description="true: run it.")
