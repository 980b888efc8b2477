"""Makes the objects of this server from the types of the tables: the vision system, its parts, and plain variables.

Node ids are texts that stay the same over restarts: `VisionSystem.ResultManagement.GetResultById` in the namespace of
this gateway. Browse names are those of the standard.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua

from cmfm_gateway.opcua.model.kinds import (
    ARRAY,
    SCALAR,
    Argument,
    Base,
    Member,
    Method,
    Object,
    Rule,
    TypeName,
    Variable,
)
from cmfm_gateway.opcua.model.tables import TYPES, inputs_of, outputs_of
from cmfm_gateway.opcua.model.writer import NodeWriter, variable_attributes
from cmfm_gateway.opcua.serving.methods import variant

OWN_NAMESPACE: Final = "urn:cmfm:gateway"

SYSTEM: Final = "VisionSystem"
LINE: Final = "Line"

NOT_HERE: Final = frozenset({"ConfirmAll", "DiagnosticLevel"})
"""Optional members that this server does not have."""

LAST_TRANSITION: Final = (
    Variable(0, "LastTransition", Base.LOCALIZED_TEXT, Rule.OPTIONAL, kind=Base.FINITE_TRANSITION_VARIABLE),
)
"""Optional member of every state machine, of the base namespace."""


@dataclass(frozen=True, slots=True)
class BoundMethod:
    """A method of an object of this server, and the ids that clients may call it by."""

    path: str
    object_id: Any
    ids: tuple[Any, ...]
    method: Method

    @property
    def inputs(self) -> tuple[Argument, ...]:
        """Input arguments."""
        return inputs_of(self.method)

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """Output arguments."""
        return outputs_of(self.method)


@dataclass(slots=True)
class Instances:
    """The nodes that were made: methods and variables by path."""

    writer: NodeWriter
    own: int
    methods: dict[str, BoundMethod] = field(default_factory=dict)
    variables: dict[str, Argument] = field(default_factory=dict)

    def id_of(self, path: str) -> Any:
        """Return the node id of a path."""
        return ua.NodeId(path, self.own)

    async def add_object(
        self, path: str, kind: TypeName, parent: Any, reference: int, *, label: str = ""
    ) -> Any:
        """Make an object with a browse name of this gateway, and the members of its type.

        `label` is the browse name where the last part of the path is not.
        """
        browse_name = ua.QualifiedName(label or path.rpartition(".")[2], self.own)
        node_id = await self.writer.add(
            self.id_of(path),
            browse_name,
            ua.ObjectAttributes(),
            parent=parent,
            reference=reference,
            definition=self.writer.type_id(kind),
        )
        await self._add_members(path, node_id, _members_of(kind, ()))
        return node_id

    async def _add_members(self, path: str, parent: Any, members: Iterator[Member]) -> None:
        for member in members:
            below = f"{path}.{member.name}"
            if isinstance(member, Method):
                await self._add_method(below, parent, member)
            elif isinstance(member, Variable):
                await self.add_variable(below, parent, member)
            elif isinstance(member, Object):
                node_id = await self.writer.add(
                    self.id_of(below),
                    member.name,
                    ua.ObjectAttributes(),
                    parent=parent,
                    reference=ua.ObjectIds.HasComponent,
                    definition=self.writer.type_id(member.kind),
                )
                await self._add_members(below, node_id, _members_of(member.kind, member.members))

    async def _add_method(self, path: str, parent: Any, method: Method) -> None:
        attributes = ua.MethodAttributes()
        attributes.Executable = attributes.UserExecutable = True
        node_id = await self.writer.add(
            self.id_of(path),
            method.name,
            attributes,
            parent=parent,
            reference=ua.ObjectIds.HasComponent,
        )
        type_ids = [method.id] if method.declared_at is None else [method.id, method.declared_at]
        ids = (node_id, *(self.writer.own(number) for number in type_ids))
        bound = BoundMethod(path, parent, ids, method)
        self.methods[path] = bound
        for arguments, name in ((bound.inputs, "InputArguments"), (bound.outputs, "OutputArguments")):
            if arguments:
                await self.writer.add_arguments(node_id, self.id_of(f"{path}.{name}"), name, arguments)

    async def add_variable(self, path: str, parent: Any, variable: Variable, browse_name: Any = None) -> None:
        """Make a variable and its members."""
        value = None if variable.number is None else ua.Variant(variable.number, ua.VariantType.UInt32)
        is_property = variable.kind is Base.PROPERTY
        node_id = await self.writer.add(
            self.id_of(path),
            browse_name or variable.name,
            variable_attributes(self.writer.type_id(variable.data_type), rank=variable.rank, value=value),
            parent=parent,
            reference=ua.ObjectIds.HasProperty if is_property else ua.ObjectIds.HasComponent,
            definition=self.writer.type_id(variable.kind),
        )
        self.variables[path] = Argument(variable.name, variable.data_type, variable.rank)
        await self._add_members(path, node_id, _members_of(variable.kind, variable.members))

    async def add_newest(self, path: str) -> None:
        """Make the variable of the newest result below the folder of results."""
        folder, _, name = path.rpartition(".")
        variable = Variable(0, name, "ResultDataType", Rule.MANDATORY, kind="ResultType")
        await self.add_variable(path, self.id_of(folder), variable, ua.QualifiedName(name, self.own))

    async def add_plain(self, path: str, parent: Any, data_type: Base, *, array: bool = False) -> None:
        """Make a variable with a browse name of this gateway."""
        name = path.rpartition(".")[2]
        rank = ARRAY if array else SCALAR
        variable = Variable(0, name, data_type, Rule.MANDATORY, rank, kind=Base.DATA_VARIABLE)
        await self.add_variable(path, parent, variable, ua.QualifiedName(name, self.own))

    def variant_of(self, path: str, value: Any) -> Any:
        """Return a value in the type of a variable."""
        return variant(value, self.variables[path])


def _members_of(kind: TypeName, declared: tuple[Member, ...]) -> Iterator[Member]:
    """Yield the members of an instance: those declared where it stands, then those of its type that are not there."""
    type_members = TYPES[kind].members if isinstance(kind, str) and kind in TYPES else ()
    names = set()
    extra = LAST_TRANSITION if isinstance(kind, str) and kind.endswith("StateMachineType") else ()
    more = _STATE_PARTS.get(kind, ()) if isinstance(kind, Base) else ()
    for member in (*declared, *type_members, *extra, *more):
        rule = getattr(member, "rule", None)
        if member.name in names or member.name in NOT_HERE or rule in {None, Rule.OPTIONAL_PLACEHOLDER}:
            continue
        names.add(member.name)
        yield member


_STATE_PARTS: Final[dict[Base, tuple[Member, ...]]] = {
    Base.FINITE_STATE_VARIABLE: (
        Variable(0, "Id", Base.NODE_ID, Rule.MANDATORY),
        Variable(0, "Number", Base.UINT32, Rule.OPTIONAL),
    ),
    Base.FINITE_TRANSITION_VARIABLE: (
        Variable(0, "Id", Base.NODE_ID, Rule.MANDATORY),
        Variable(0, "Number", Base.UINT32, Rule.OPTIONAL),
        Variable(0, "TransitionTime", Base.UTC_TIME, Rule.OPTIONAL),
    ),
}
"""Members of the variables that hold a state or a transition, of the base namespace."""
