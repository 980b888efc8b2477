"""All settings of a gateway in one frozen object. `load` reads it."""

from pydantic import BaseModel, ConfigDict

from cmfm_gateway.settings.gateway import GatewaySection
from cmfm_gateway.settings.modbus import ModbusSection
from cmfm_gateway.settings.mqtt import MqttSection
from cmfm_gateway.settings.opcua import OpcUaSection
from cmfm_gateway.settings.sparkplug import SparkplugSection
from cmfm_gateway.settings.worker import WorkerSection
from cmfm_settings.http_section import HttpSection
from cmfm_settings.log_section import LogSection


class GatewaySettings(BaseModel):
    """All settings of `cmfm-gateway`, a field each section of `gateway.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway: GatewaySection = GatewaySection()
    worker: WorkerSection = WorkerSection()
    modbus: ModbusSection = ModbusSection()
    opcua: OpcUaSection = OpcUaSection()
    mqtt: MqttSection = MqttSection()
    sparkplug: SparkplugSection = SparkplugSection()
    log: LogSection = LogSection()
    metrics: HttpSection = HttpSection()
