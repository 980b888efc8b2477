"""Builds the types of the tables in a server's address space: data types first, then the node types, then
their members."""

from asyncua import Server, ua

from cmfm_gateway.opcua.model.definitions import enumeration_definition, structure_definition
from cmfm_gateway.opcua.model.kinds import (
    Arguments,
    Base,
    Enumeration,
    Member,
    Method,
    NodeType,
    Object,
    Rule,
    SimpleType,
    State,
    Structure,
    Transition,
    Variable,
)
from cmfm_gateway.opcua.model.tables import (
    DATA_TYPES,
    INNER_STATES,
    NODE_TYPES,
    REFERENCE_TYPES,
    STATES,
    TRANSITIONS,
    inputs_of,
    members_of,
    outputs_of,
)
from cmfm_gateway.opcua.model.writer import NodeWriter, variable_attributes


async def build_types(server: Server, companion: int) -> None:
    """Add every type of the tables. `companion` is the index of the companion namespace."""
    writer = NodeWriter(server, companion)
    for reference in REFERENCE_TYPES:
        attributes = ua.ReferenceTypeAttributes()
        attributes.IsAbstract = False
        await writer.add(
            writer.own(reference.id),
            reference.name,
            attributes,
            parent=ua.NodeId(ua.ObjectIds.NonHierarchicalReferences),
            reference=ua.ObjectIds.HasSubtype,
        )
    for data_type in DATA_TYPES:
        await _add_data_type(writer, data_type)
    for node_type in NODE_TYPES:
        await _add_node_type(writer, node_type)
    for node_type in NODE_TYPES:
        for member in node_type.members:
            await _add_member(writer, writer.own(node_type.id), member)
    await _connect_states(writer)


async def _add_data_type(writer: NodeWriter, data_type: SimpleType | Enumeration | Structure) -> None:
    base = Base.ENUMERATION if isinstance(data_type, Enumeration) else data_type.base
    attributes = ua.DataTypeAttributes()
    attributes.IsAbstract = isinstance(data_type, Structure) and data_type.abstract
    node_id = await writer.add(
        writer.own(data_type.id),
        data_type.name,
        attributes,
        parent=writer.type_id(base),
        reference=ua.ObjectIds.HasSubtype,
    )
    if isinstance(data_type, Enumeration):
        await _add_enum_values(writer, data_type)
    elif isinstance(data_type, Structure):
        for number, name in ((data_type.binary_id, "Default Binary"), (data_type.xml_id, "Default XML")):
            await writer.add(
                writer.own(number),
                ua.QualifiedName(name, 0),
                ua.ObjectAttributes(),
                parent=node_id,
                reference=ua.ObjectIds.HasEncoding,
                definition=ua.NodeId(ua.ObjectIds.DataTypeEncodingType),
            )
        await writer.set_attribute(
            node_id,
            ua.AttributeIds.DataTypeDefinition,
            ua.Variant(structure_definition(data_type, writer.companion), ua.VariantType.ExtensionObject),
        )


async def _add_enum_values(writer: NodeWriter, enumeration: Enumeration) -> None:
    values = [
        ua.EnumValueType(
            Value=ua.Int64(value), DisplayName=ua.LocalizedText(name), Description=ua.LocalizedText()
        )
        for name, value in enumeration.values
    ]
    await writer.add(
        writer.own(enumeration.values_id),
        "EnumValues",
        variable_attributes(
            ua.NodeId(ua.ObjectIds.EnumValueType), rank=1, value=ua.Variant(values, is_array=True)
        ),
        parent=writer.own(enumeration.id),
        reference=ua.ObjectIds.HasProperty,
        definition=ua.NodeId(int(Base.PROPERTY)),
        rule=Rule.MANDATORY,
    )
    await writer.set_attribute(
        writer.own(enumeration.id),
        ua.AttributeIds.DataTypeDefinition,
        ua.Variant(enumeration_definition(enumeration), ua.VariantType.ExtensionObject),
    )


async def _add_node_type(writer: NodeWriter, node_type: NodeType) -> None:
    attributes: ua.ObjectTypeAttributes | ua.VariableTypeAttributes
    if node_type.data_type is None:
        attributes = ua.ObjectTypeAttributes()
    else:
        attributes = ua.VariableTypeAttributes()
        attributes.DataType = writer.type_id(node_type.data_type)
        attributes.ValueRank = ua.Int32(-1)
    attributes.IsAbstract = node_type.abstract
    await writer.add(
        writer.own(node_type.id),
        node_type.name,
        attributes,
        parent=writer.type_id(node_type.base),
        reference=ua.ObjectIds.HasSubtype,
    )


async def _add_member(writer: NodeWriter, parent: ua.NodeId, member: Member) -> None:
    match member:
        case Method():
            await _add_method(writer, parent, member)
        case Variable():
            await _add_variable(writer, parent, member)
        case Object():
            await _add_object(writer, parent, member)
        case State() | Transition():
            await _add_state(writer, parent, member)


async def _add_method(writer: NodeWriter, parent: ua.NodeId, method: Method) -> None:
    attributes = ua.MethodAttributes()
    attributes.Executable = attributes.UserExecutable = True
    node_id = await writer.add(
        writer.own(method.id),
        method.name,
        attributes,
        parent=parent,
        reference=ua.ObjectIds.HasComponent,
        rule=method.rule,
    )
    lists: tuple[tuple[Arguments | None, str, bool], ...] = (
        (method.inputs, "InputArguments", True),
        (method.outputs, "OutputArguments", False),
    )
    for listed, name, is_input in lists:
        if listed is not None:
            items = inputs_of(method) if is_input else outputs_of(method)
            await writer.add_arguments(node_id, writer.own(listed.id), name, items)


async def _add_variable(writer: NodeWriter, parent: ua.NodeId, variable: Variable) -> None:
    is_property = variable.kind is Base.PROPERTY
    value = None if variable.number is None else ua.Variant(variable.number, ua.VariantType.UInt32)
    node_id = await writer.add(
        writer.own(variable.id),
        variable.name,
        variable_attributes(writer.type_id(variable.data_type), rank=variable.rank, value=value),
        parent=parent,
        reference=ua.ObjectIds.HasProperty if is_property else ua.ObjectIds.HasComponent,
        definition=writer.type_id(variable.kind),
        rule=variable.rule,
    )
    for member in variable.members:
        await _add_member(writer, node_id, member)


async def _add_object(writer: NodeWriter, parent: ua.NodeId, entry: Object) -> None:
    node_id = await writer.add(
        writer.own(entry.id),
        entry.name,
        ua.ObjectAttributes(),
        parent=parent,
        reference=ua.ObjectIds.HasComponent,
        definition=writer.type_id(entry.kind),
        rule=entry.rule,
    )
    for member in entry.members:
        await _add_member(writer, node_id, member)


async def _add_state(writer: NodeWriter, parent: ua.NodeId, entry: State | Transition) -> None:
    is_state = isinstance(entry, State)
    kind = Base.STATE if is_state else Base.TRANSITION
    node_id = await writer.add(
        writer.own(entry.id),
        entry.name,
        ua.ObjectAttributes(),
        parent=parent,
        reference=ua.ObjectIds.HasComponent,
        definition=ua.NodeId(int(kind)),
    )
    value = ua.Variant(entry.number, ua.VariantType.UInt32)
    await writer.add(
        writer.own(entry.number_id),
        "StateNumber" if is_state else "TransitionNumber",
        variable_attributes(ua.NodeId(int(Base.UINT32)), value=value),
        parent=node_id,
        reference=ua.ObjectIds.HasProperty,
        definition=ua.NodeId(int(Base.PROPERTY)),
        rule=Rule.MANDATORY,
    )


async def _connect_states(writer: NodeWriter) -> None:
    """Add the references between states, transitions, methods and event types."""
    methods = {
        member.name: writer.own(member.id)
        for node in NODE_TYPES
        for member in members_of(node.members)
        if isinstance(member, Method) and member.declared_at is None
    }
    for transition in TRANSITIONS.values():
        node_id = writer.own(transition.id)
        source, target = writer.own(STATES[transition.source].id), writer.own(STATES[transition.target].id)
        await writer.refer(node_id, ua.ObjectIds.FromState, source)
        await writer.refer(node_id, ua.ObjectIds.ToState, target)
        await writer.refer(source, writer.type_id("ToTransition"), node_id)
        if transition.target not in INNER_STATES or transition.source in INNER_STATES:
            await writer.refer(target, writer.type_id("FromTransition"), node_id)
        for effect in transition.effects:
            await writer.refer(node_id, ua.ObjectIds.HasEffect, writer.type_id(effect))
        if transition.cause:
            await writer.refer(node_id, ua.ObjectIds.HasCause, methods[transition.cause])
    for node in NODE_TYPES:
        for member in node.members:
            if isinstance(member, Object) and member.substate_of:
                state = writer.own(STATES[member.substate_of].id)
                await writer.refer(state, ua.ObjectIds.HasSubStateMachine, writer.own(member.id))
