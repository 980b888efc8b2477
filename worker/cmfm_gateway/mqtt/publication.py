"""A message to publish, with its MQTT 5 properties and its size on the wire."""

from dataclasses import dataclass
from typing import Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PACKET_OVERHEAD: Final = 64
"""Bytes of a PUBLISH beside topic, payload and properties' text, rounded up."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A message to publish. `expiry_s` 0: it never expires. `answers`: correlation data of the request it answers."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    expiry_s: int = 0
    content_type: str = ""
    user: tuple[tuple[str, str], ...] = ()
    answers: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of its packet, at most."""
        text = len(self.topic.encode()) + len(self.content_type) + len(self.answers)
        text += sum(len(key.encode()) + len(value.encode()) + 5 for key, value in self.user)
        return len(self.payload) + text + PACKET_OVERHEAD

    def properties(self, packet: int = PacketTypes.PUBLISH) -> Properties:
        """Its MQTT 5 properties, for a PUBLISH or, as a will, for the CONNECT."""
        properties = Properties(packet)
        if self.content_type:
            properties.ContentType = self.content_type
            properties.PayloadFormatIndicator = int(self.content_type == "application/json")
        if self.expiry_s:
            properties.MessageExpiryInterval = self.expiry_s
        if self.user:
            properties.UserProperty = list(self.user)
        if self.answers:
            properties.CorrelationData = self.answers
        return properties
