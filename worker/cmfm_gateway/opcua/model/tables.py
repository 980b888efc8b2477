"""All tables of the model in one place, and the node ids by name."""

from collections.abc import Iterator
from typing import Final

from cmfm_gateway.opcua.model.data_types import ENUMERATIONS, SIMPLE_TYPES, STRUCTURES
from cmfm_gateway.opcua.model.events import EVENT_TYPES
from cmfm_gateway.opcua.model.kinds import (
    Argument,
    Base,
    Enumeration,
    Field,
    Member,
    Method,
    NodeType,
    Object,
    ReferenceType,
    SimpleType,
    State,
    Structure,
    Transition,
    TypeName,
    Variable,
)
from cmfm_gateway.opcua.model.management import MANAGEMENT_TYPES
from cmfm_gateway.opcua.model.state_machines import STATE_MACHINES
from cmfm_gateway.opcua.model.vision_system import SYSTEM_TYPES

REFERENCE_TYPES: Final = (ReferenceType(4002, "FromTransition"), ReferenceType(4003, "ToTransition"))

NODE_TYPES: Final[tuple[NodeType, ...]] = (*EVENT_TYPES, *MANAGEMENT_TYPES, *STATE_MACHINES, *SYSTEM_TYPES)

DATA_TYPES: Final[tuple[SimpleType | Enumeration | Structure, ...]] = (
    *SIMPLE_TYPES,
    *ENUMERATIONS,
    *STRUCTURES,
)

TYPE_IDS: Final[dict[str, int]] = (
    {reference.name: reference.id for reference in REFERENCE_TYPES}
    | {node.name: node.id for node in NODE_TYPES}
    | {data_type.name: data_type.id for data_type in DATA_TYPES}
)
"""Name of a type → its node id."""

TYPES: Final[dict[str, NodeType]] = {node.name: node for node in NODE_TYPES}

STRUCTURES_BY_NAME: Final[dict[str, Structure]] = {structure.name: structure for structure in STRUCTURES}

SIMPLE_BASES: Final[dict[str, Base]] = {simple.name: simple.base for simple in SIMPLE_TYPES}

ENUMERATION_NAMES: Final = frozenset(enumeration.name for enumeration in ENUMERATIONS)


def members_of(members: tuple[Member, ...]) -> Iterator[Member]:
    """Yield the members and those below them, each after the one that holds it."""
    for member in members:
        yield member
        if isinstance(member, Object | Variable):
            yield from members_of(member.members)


STATES: Final[dict[str, State]] = {
    member.name: member for node in STATE_MACHINES for member in node.members if isinstance(member, State)
}

INNER_STATES: Final = frozenset(
    member.name
    for member in TYPES["VisionAutomaticModeStateMachineType"].members
    if isinstance(member, State)
)
"""States of the machine inside Operational."""

TRANSITIONS: Final[dict[str, Transition]] = {
    member.name: member
    for node in STATE_MACHINES
    for member in node.members
    if isinstance(member, Transition)
}

METHODS: Final[dict[int, Method]] = {
    member.id: member
    for node in NODE_TYPES
    for member in members_of(node.members)
    if isinstance(member, Method)
}


def declaration(method: Method) -> Method:
    """Return the method that lists the arguments: itself, or the one that it repeats."""
    return method if method.declared_at is None else METHODS[method.declared_at]


def inputs_of(method: Method) -> tuple[Argument, ...]:
    """Return the input arguments of a method."""
    listed = declaration(method).inputs
    return listed.items if listed else ()


def outputs_of(method: Method) -> tuple[Argument, ...]:
    """Return the output arguments of a method."""
    listed = declaration(method).outputs
    return listed.items if listed else ()


def fields_of(structure: Structure) -> tuple[Field, ...]:
    """Return all fields in the order of their encoding: those of the base type first."""
    if isinstance(structure.base, Base):
        return structure.fields
    return (*fields_of(STRUCTURES_BY_NAME[structure.base]), *structure.fields)


def node_number(name: TypeName) -> int:
    """Return the number in the node id of a type, in whichever namespace it is."""
    return TYPE_IDS[name] if isinstance(name, str) else int(name)
