"""The section `[mqtt]`."""

from pydantic import Field

from cmfm_settings.section import Section


class MqttSection(Section):
    """MQTT 5 client that publishes to a broker."""

    enabled: bool = Field(False, description="true: run it.")
