"""Writes values of this server's variables and sends its events, by the paths of its nodes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua

from cmfm_gateway.line_view import Cause
from cmfm_gateway.opcua.events import EventSender, VisionEvent, base_fields
from cmfm_gateway.opcua.instance import SYSTEM, Instances
from cmfm_gateway.opcua.model.kinds import Argument
from cmfm_gateway.opcua.serving.methods import variant

GOOD: Final = 0

BAD_STATUS: Final = {
    Cause.NONE: GOOD,
    Cause.SILENCE: int(ua.StatusCodes.BadNoCommunication),
    Cause.STARTING: int(ua.StatusCodes.BadOutOfService),
    Cause.DRAINING: int(ua.StatusCodes.BadOutOfService),
    Cause.STOPPED: int(ua.StatusCodes.BadOutOfService),
    Cause.GAP: int(ua.StatusCodes.BadDataLost),
    Cause.STORE: int(ua.StatusCodes.BadResourceUnavailable),
    Cause.OFFLINE: int(ua.StatusCodes.BadOutOfService),
}
"""Status of the variables that tell of verdicts, by the cause of a line that is not valid."""


class Nodes:
    """The variables and events of one server."""

    def __init__(self, server: Any, instances: Instances, sender: EventSender) -> None:
        self._server = server
        self.instances = instances
        self._sender = sender

    async def write(self, path: str, value: Any, status: int = GOOD, at: datetime | None = None) -> None:
        """Write a variable. With a bad status clients see no value. Raises UaStatusCodeError for a wrong type."""
        now = datetime.now(UTC)
        data = ua.DataValue(
            self.instances.variant_of(path, value),
            StatusCode=ua.StatusCode(status),
            SourceTimestamp=at or now,
            ServerTimestamp=now,
        )
        space, node_id = self._server.iserver.aspace, self.instances.id_of(path)
        (await space.write_attribute_value(node_id, ua.AttributeIds.Value, data)).check()

    async def remove(self, path: str) -> None:
        """Remove a node and those below it."""
        own = self.instances
        below = [own.id_of(known) for known in (*own.methods, *own.variables) if known.startswith(f"{path}.")]
        nodes = [self._server.get_node(node_id) for node_id in (*below, own.id_of(path))]
        await self._server.delete_nodes(nodes, recursive=True)
        for known in [known for known in own.methods if known.startswith(f"{path}.")]:
            del own.methods[known]
        for known in [known for known in own.variables if known.startswith(f"{path}.")]:
            del own.variables[known]

    async def send(
        self,
        type_name: str,
        message: str,
        fields: Mapping[str, Any],
        *,
        source: str = SYSTEM,
        severity: int = 200,
    ) -> None:
        """Send an event of a type of the companion model."""
        event_type = self.instances.writer.type_id(type_name)
        node_id = self.instances.id_of(source)
        base = base_fields(event_type, node_id, source.rpartition(".")[2], message, severity)
        await self._sender.send(VisionEvent(event_type, node_id, {**base, **fields}))


def structure(type_name: str, value: Any) -> Any:
    """Return a structured value of the model as a variant; null for None."""
    return variant(value, Argument("", type_name)) if value is not None else ua.Variant()


def localized(text: str) -> Any:
    """Return a text as a variant of LocalizedText."""
    return ua.Variant(ua.LocalizedText(text), ua.VariantType.LocalizedText)
