"""Adds nodes of the tables' kinds to the address space of a server, by the services that the library has for it."""

from collections.abc import Sequence
from typing import Any, Final

from asyncua import Server, ua

from cmfm_gateway.opcua.model.kinds import BASE_NAMES, Argument, Base, Rule, TypeName
from cmfm_gateway.opcua.model.tables import TYPE_IDS

ANY_RANK_DIMENSIONS: Final = 0
"""Length of a dimension that has no limit."""


class NodeWriter:
    """Writes nodes into one server. `companion` is the index of the companion model's namespace."""

    def __init__(self, server: Server, companion: int) -> None:
        self._session = server.iserver.isession
        self.companion = companion

    def type_id(self, name: TypeName) -> ua.NodeId:
        """Return the node id of a type by its name."""
        if isinstance(name, str):
            return self.own(TYPE_IDS[name])
        return ua.NodeId(int(name))

    def own(self, number: int) -> ua.NodeId:
        """Return a node id of the companion namespace."""
        return ua.NodeId(number, self.companion)

    def browse_name(self, name: str) -> ua.QualifiedName:
        """Return the name in the namespace that it belongs to."""
        return ua.QualifiedName(name, 0 if name in BASE_NAMES else self.companion)

    async def add(
        self,
        node_id: ua.NodeId,
        name: str | ua.QualifiedName,
        attributes: Any,
        *,
        parent: ua.NodeId,
        reference: int,
        definition: ua.NodeId | None = None,
        rule: Rule | None = None,
    ) -> ua.NodeId:
        """Add one node with the attributes of its class below `parent`. Returns its id."""
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = node_id
        item.BrowseName = self.browse_name(name) if isinstance(name, str) else name
        item.NodeClass = _CLASS_OF[type(attributes)]
        item.ParentNodeId = parent
        item.ReferenceTypeId = ua.NodeId(reference)
        item.TypeDefinition = definition or ua.NodeId()
        attributes.DisplayName = ua.LocalizedText(item.BrowseName.Name)
        item.NodeAttributes = attributes
        for result in await self._session.add_nodes([item]):
            result.StatusCode.check()
        if rule is not None:
            await self.refer(node_id, ua.ObjectIds.HasModellingRule, ua.NodeId(int(rule)))
        return node_id

    async def refer(
        self, source: ua.NodeId, reference: int | ua.NodeId, target: ua.NodeId, *, forward: bool = True
    ) -> None:
        """Add a reference in both directions."""
        kind = reference if isinstance(reference, ua.NodeId) else ua.NodeId(reference)
        there = ua.AddReferencesItem()
        there.SourceNodeId, there.TargetNodeId, there.ReferenceTypeId = source, target, kind
        there.IsForward = forward
        back = ua.AddReferencesItem()
        back.SourceNodeId, back.TargetNodeId, back.ReferenceTypeId = target, source, kind
        back.IsForward = not forward
        for status in await self._session.add_references([there, back]):
            status.check()

    async def set_attribute(self, node_id: ua.NodeId, attribute: ua.AttributeIds, value: ua.Variant) -> None:
        """Write one attribute. Raises UaStatusCodeError if the server refuses it."""
        write = ua.WriteValue(NodeId=node_id, AttributeId=attribute, Value=ua.DataValue(value))
        for status in await self._session.write(ua.WriteParameters(NodesToWrite=[write])):
            status.check()

    async def add_arguments(
        self, method: ua.NodeId, node_id: ua.NodeId, name: str, arguments: Sequence[Argument]
    ) -> None:
        """Add the property that lists the arguments of a method."""
        listed = [
            ua.Argument(
                Name=argument.name,
                DataType=self.type_id(argument.data_type),
                ValueRank=ua.Int32(argument.rank),
                ArrayDimensions=[ua.UInt32(ANY_RANK_DIMENSIONS)] if argument.rank > 0 else [],
            )
            for argument in arguments
        ]
        attributes = variable_attributes(
            ua.NodeId(ua.ObjectIds.Argument), rank=1, value=ua.Variant(listed, is_array=True)
        )
        attributes.ArrayDimensions = [ua.UInt32(len(listed))]
        await self.add(
            node_id,
            name,
            attributes,
            parent=method,
            reference=ua.ObjectIds.HasProperty,
            definition=ua.NodeId(int(Base.PROPERTY)),
            rule=Rule.MANDATORY,
        )


def variable_attributes(
    data_type: ua.NodeId, *, rank: int = -1, value: ua.Variant | None = None
) -> ua.VariableAttributes:
    """Return attributes of a variable that clients may read and nobody may write over the network."""
    attributes = ua.VariableAttributes()
    attributes.DataType = data_type
    attributes.ValueRank = ua.Int32(rank)
    attributes.ArrayDimensions = [ua.UInt32(ANY_RANK_DIMENSIONS)] if rank > 0 else []
    attributes.Value = value or ua.Variant()
    readable = ua.Byte(ua.AccessLevel.CurrentRead.mask)
    attributes.AccessLevel = attributes.UserAccessLevel = readable
    attributes.Historizing = False
    return attributes


_CLASS_OF: Final[dict[type, ua.NodeClass]] = {
    ua.ObjectAttributes: ua.NodeClass.Object,
    ua.VariableAttributes: ua.NodeClass.Variable,
    ua.MethodAttributes: ua.NodeClass.Method,
    ua.ObjectTypeAttributes: ua.NodeClass.ObjectType,
    ua.VariableTypeAttributes: ua.NodeClass.VariableType,
    ua.DataTypeAttributes: ua.NodeClass.DataType,
    ua.ReferenceTypeAttributes: ua.NodeClass.ReferenceType,
}
