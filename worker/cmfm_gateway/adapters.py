"""Which adapters the settings ask for. Each protocol's library is imported only where it is used."""

from cmfm_gateway.errors import InputError
from cmfm_gateway.gateway import Adapter
from cmfm_gateway.settings.model import GatewaySettings


def adapters_of(settings: GatewaySettings) -> list[Adapter]:
    """Return the adapters that are enabled. Raises InputError if none is, or for a file that one cannot use."""
    adapters: list[Adapter] = []
    if settings.modbus.enabled:
        from cmfm_gateway.modbus.adapter import ModbusAdapter

        adapters.append(ModbusAdapter(settings.modbus))
    if settings.opcua.enabled:
        from cmfm_gateway.opcua.adapter import OpcUaAdapter

        adapters.append(OpcUaAdapter(settings.opcua))
    if settings.mqtt.enabled:
        from cmfm_gateway.mqtt.adapter import MqttAdapter

        adapters.append(MqttAdapter(settings.mqtt))
    if settings.sparkplug.enabled:
        from cmfm_gateway.sparkplug.adapter import SparkplugAdapter

        adapters.append(SparkplugAdapter(settings.sparkplug, settings.mqtt))
    if not adapters:
        raise InputError(
            "nothing is enabled; write enabled = true under [modbus], [opcua], [mqtt] or [sparkplug]"
        )
    return adapters
