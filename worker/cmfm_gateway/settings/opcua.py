"""The section `[opcua]`."""

from pydantic import Field

from cmfm_settings.section import Section


class OpcUaSection(Section):
    """OPC UA server with the Machine Vision companion model (OPC 40100-1)."""

    enabled: bool = Field(False, description="true: run it.")
