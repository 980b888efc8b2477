"""Events of the server: fields by browse path, sent to each subscription on its own.

The library's own event objects read fields as Python attributes, so that a client's select clause can break the
delivery to all others; they also copy each value for each subscriber. These hold variants that nobody changes.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from asyncua import ua

NULL: Final = ua.Variant()


class VisionEvent:
    """One event. `fields` maps browse paths such as `Time` or `ToState/Id` to variants."""

    def __init__(self, event_type: Any, source: Any, fields: Mapping[str, Any]) -> None:
        self.event_type = event_type
        self.source = source
        self.emitting_node = source
        self._fields = fields

    def field(self, operand: Any) -> Any:
        """Return the variant that a select clause or an operand asks for, null if the event has no such field."""
        if operand.AttributeId != ua.AttributeIds.Value:
            return NULL
        return self._fields.get("/".join(str(part.Name) for part in operand.BrowsePath), NULL)

    def to_event_fields(self, select_clauses: Sequence[Any]) -> list[Any]:
        """Return the fields that one monitored item selects; called by the library."""
        return [self.field(clause) for clause in select_clauses]


def base_fields(
    event_type: Any, source: Any, source_name: str, message: str, severity: int
) -> dict[str, Any]:
    """Return the fields of BaseEventType (OPC 10000-5, 6.4.2)."""
    now = datetime.now(UTC)
    kinds = ua.VariantType
    return {
        "EventId": ua.Variant(uuid.uuid4().bytes, kinds.ByteString),
        "EventType": ua.Variant(event_type, kinds.NodeId),
        "SourceNode": ua.Variant(source, kinds.NodeId),
        "SourceName": ua.Variant(source_name, kinds.String),
        "Time": ua.Variant(now, kinds.DateTime),
        "ReceiveTime": ua.Variant(now, kinds.DateTime),
        "Message": ua.Variant(ua.LocalizedText(message), kinds.LocalizedText),
        "Severity": ua.Variant(severity, kinds.UInt16),
    }


class EventSender:
    """Hands events to the subscriptions of a server.

    Each event is seen at its source and at the nodes above it, up to the Server object.
    """

    def __init__(self, server: Any, notifiers: Sequence[Any]) -> None:
        self._subscriptions = server.iserver.subscription_service.subscriptions
        self._notifiers = tuple(notifiers)
        self._log = structlog.get_logger("opcua")

    async def send(self, event: VisionEvent) -> None:
        """Send one event to every subscription of every notifier."""
        for notifier in dict.fromkeys((event.source, *self._notifiers)):
            event.emitting_node = notifier
            for subscription in list(self._subscriptions.values()):
                await self._send_to(subscription, event)

    async def _send_to(self, subscription: Any, event: VisionEvent) -> None:
        try:
            await subscription.monitored_item_srv.trigger_event(event)
        except Exception as error:  # noqa: BLE001  (one subscription must not stop the events of the others)
            self._log.warning("opcua_event_not_sent", error=repr(error)[:200])
