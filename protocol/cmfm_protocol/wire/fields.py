"""Fields of messages: declared once, as `Annotated` types of a frozen dataclass; encoder, decoder and tables follow.

    deadline_ms: Annotated[float, number(0, MAX_DEADLINE_MS), Unit("ms"), Meaning("from the trigger to the verdict")]

The dataclass is the value in the program; `read` and `plain_map` translate between it and the map on the wire, and the
tables of WIRE.md and the columns of the worker's ledger follow from `fields_of`. A field with a default may be left
out on the wire, unless it is marked `Required`. Of several marks of one kind the last counts, so an alias of an
`Annotated` type can be given another meaning where it is used.
"""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.verdict import Reason
from cmfm_protocol.wire.wire_types import Check, WireType

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MISSING: Final = dataclasses.MISSING

T = TypeVar("T", bound="DataclassInstance")
Mark = TypeVar("Mark")


@dataclasses.dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a field in words, as in WIRE.md; links there are written as in Markdown."""

    words: str


@dataclasses.dataclass(frozen=True, slots=True)
class Unit:
    """The unit of a field."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Since:
    """The minor version that added a field; 0 unless said. A field that was added later has a default."""

    minor: int


@dataclasses.dataclass(frozen=True, slots=True)
class Required:
    """The field must be on the wire although the dataclass has a default. `reason` is that of its absence."""

    reason: Reason = Reason.MALFORMED


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One declared field. `default` is MISSING where the wire requires the field.

    `python` is the type of the value without None (`tuple` for any tuple), `nullable` says that it may be None.
    """

    name: str
    wire_type: WireType
    default: object
    unit: str
    meaning: str
    since: int
    absent: Reason
    python: type[Any]
    nullable: bool

    @property
    def required(self) -> bool:
        """True if the key must be on the wire."""
        return self.default is MISSING


def field_of(name: str, annotation: Any, default: object = MISSING) -> Field:
    """The field that an `Annotated` type declares. Raises TypeError for a declaration that is incomplete."""
    python, *marks = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    wire_type = _last(marks, WireType, None)
    if wire_type is None:
        raise TypeError(f"{name}: no type of the wire in its annotation")
    required = _last(marks, Required, None)
    since = _last(marks, Since, Since(0)).minor
    if since and (required is not None or default is MISSING):
        raise TypeError(f"{name}: added in 1.{since}, so older senders leave it out; it needs a default")
    return Field(
        name=name,
        wire_type=wire_type,
        default=default if required is None else MISSING,
        unit=_last(marks, Unit, Unit("")).name,
        meaning=_last(marks, Meaning, Meaning("")).words,
        since=since,
        absent=required.reason if required is not None else Reason.MALFORMED,
        python=_without_none(python),
        nullable=_nullable(python),
    )


def fields_of(kind: type[Any]) -> tuple[Field, ...]:
    """The declared fields of a message, in the order in which they are sent."""
    annotations = get_type_hints(kind, include_extras=True)
    declared = dataclasses.fields(kind)
    return tuple(field_of(field.name, annotations[field.name], field.default) for field in declared)


def read(kind: type[T], data: Mapping[str, object]) -> T:
    """The dataclass from a map of the wire; unknown keys are ignored. Raises Violation naming the field."""
    values: dict[str, Any] = {}
    for name, check, absent in _checks(kind):
        if name in data:
            try:
                values[name] = check(data[name])
            except Violation as violation:
                raise violation.under(name) from None
        elif absent is not None:
            raise Violation(absent, "missing", name)
    return kind(**values)


def nested(kind: type[Any]) -> WireType:
    """A map inside a message."""

    def check(value: object) -> Any:
        if not isinstance(value, dict):
            raise Violation(Reason.MALFORMED, f"expected a map, got {type(value).__name__}")
        return read(kind, value)

    return WireType("map", check)


def plain_map(message: "DataclassInstance") -> dict[str, Any]:
    """The map of a message as its receiver will accept it. Raises Violation where the receiver would."""
    data: dict[str, Any] = {}
    for name, check, _ in _checks(type(message)):
        value = getattr(message, name)
        try:
            checked = check(value if type(value) in _SCALARS else plain(value))
        except Violation as violation:
            raise violation.under(name) from None
        data[name] = checked if type(checked) in _SCALARS else plain(checked)
    return data


def plain(value: object) -> Any:
    """Dataclasses as maps, tuples as lists, members of enumerations as their values; nothing is checked."""
    if type(value) in _SCALARS:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value.value if isinstance(value, Enum) else value


_SCALARS: Final = frozenset({int, float, str, bool, NoneType})


@cache
def _checks(kind: Any) -> tuple[tuple[str, Check, Reason | None], ...]:
    """Name and check of each field, and the reason of its absence (None: the default stands for it)."""
    return tuple(
        (field.name, field.wire_type.check, field.absent if field.required else None)
        for field in fields_of(kind)
    )


def _last(marks: list[Any], kind: type[Mark], default: Any) -> Any:
    return next((mark for mark in reversed(marks) if isinstance(mark, kind)), default)


def _without_none(python: Any) -> type[Any]:
    kinds = [kind for kind in get_args(python) if kind is not NoneType] if _nullable(python) else [python]
    found: type[Any] = get_origin(kinds[0]) or kinds[0]
    return found


def _nullable(python: Any) -> bool:
    return NoneType in get_args(python)
