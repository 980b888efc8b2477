"""The notation of the model tables: one small frozen class a kind of node.

Numbers are node ids in the companion namespace. A name stands for a node of the tables, a member of `Base` for one of
the base namespace.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

NAMESPACE: Final = "http://opcfoundation.org/UA/MachineVision"


class Base(IntEnum):
    """Node ids of the base namespace that the tables refer to (OPC 10000-6, annex A)."""

    BOOLEAN = 1
    UINT16 = 5
    INT32 = 6
    UINT32 = 7
    UINT64 = 9
    DOUBLE = 11
    STRING = 12
    DATE_TIME = 13
    BYTE_STRING = 15
    NODE_ID = 17
    LOCALIZED_TEXT = 21
    STRUCTURE = 22
    BASE_DATA_TYPE = 24
    ENUMERATION = 29
    BASE_OBJECT_TYPE = 58
    FOLDER_TYPE = 61
    DATA_VARIABLE = 63
    PROPERTY = 68
    DURATION = 290
    UTC_TIME = 294
    BASE_EVENT_TYPE = 2041
    STATE = 2307
    TRANSITION = 2310
    TRANSITION_EVENT_TYPE = 2311
    FINITE_STATE_VARIABLE = 2760
    FINITE_TRANSITION_VARIABLE = 2767
    FINITE_STATE_MACHINE_TYPE = 2771
    ACKNOWLEDGEABLE_CONDITION_TYPE = 2881


class Rule(IntEnum):
    """Modelling rules, by their node ids."""

    MANDATORY = 78
    OPTIONAL = 80
    OPTIONAL_PLACEHOLDER = 11508


MANDATORY: Final = Rule.MANDATORY
OPTIONAL: Final = Rule.OPTIONAL
OPTIONAL_PLACEHOLDER: Final = Rule.OPTIONAL_PLACEHOLDER

TypeName = Base | str
"""A type of the base namespace, or the name of a type of the tables."""

SCALAR: Final = -1
ARRAY: Final = 1
"""Value ranks."""

BASE_NAMES: Final = frozenset(
    {
        "CurrentState",
        "LastTransition",
        "Id",
        "Number",
        "TransitionTime",
        "StateNumber",
        "TransitionNumber",
        "InputArguments",
        "OutputArguments",
        "EnumValues",
    }
)
"""Browse names that belong to the base namespace, also below nodes of the companion namespace."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a method."""

    name: str
    data_type: TypeName
    rank: int = SCALAR


@dataclass(frozen=True, slots=True)
class Arguments:
    """The property that lists a method's arguments. `items` is empty where the method is declared elsewhere."""

    id: int
    items: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a type. `declared_at`: the method of the same name and arguments that this one repeats."""

    id: int
    name: str
    rule: Rule
    inputs: Arguments | None = None
    outputs: Arguments | None = None
    declared_at: int | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A property, or a data variable if `kind` says so. `number`: its UInt32 value, of a state's number."""

    id: int
    name: str
    data_type: TypeName
    rule: Rule
    rank: int = SCALAR
    kind: TypeName = Base.PROPERTY
    members: "tuple[Member, ...]" = ()
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """An object below a type. `substate_of`: the state that it is the inner state machine of."""

    id: int
    name: str
    rule: Rule
    kind: TypeName
    members: "tuple[Member, ...]" = ()
    substate_of: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """A state of a state machine type, with its StateNumber property."""

    id: int
    name: str
    number: int
    number_id: int


@dataclass(frozen=True, slots=True)
class Transition:
    """A transition of a state machine type: the method that causes it, the event types that follow."""

    id: int
    name: str
    number: int
    number_id: int
    source: str
    target: str
    effects: tuple[str, ...]
    cause: str = ""


Member = Method | Variable | Object | State | Transition


@dataclass(frozen=True, slots=True)
class NodeType:
    """An object type or event type; with `data_type`, a variable type."""

    id: int
    name: str
    base: TypeName
    members: tuple[Member, ...] = ()
    abstract: bool = False
    data_type: TypeName | None = None


@dataclass(frozen=True, slots=True)
class ReferenceType:
    """A reference type below NonHierarchicalReferences."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a structured data type."""

    name: str
    data_type: TypeName
    optional: bool = False
    rank: int = SCALAR


@dataclass(frozen=True, slots=True)
class Structure:
    """A structured data type and the ids of its encodings. `fields` are its own; those of `base` come first."""

    id: int
    name: str
    fields: tuple[Field, ...] = ()
    binary_id: int = 0
    xml_id: int = 0
    base: TypeName = Base.STRUCTURE
    abstract: bool = False


@dataclass(frozen=True, slots=True)
class Enumeration:
    """An enumeration: names of its values, and the property that lists them."""

    id: int
    name: str
    values_id: int
    values: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SimpleType:
    """A data type that is encoded as its base."""

    id: int
    name: str
    base: Base
