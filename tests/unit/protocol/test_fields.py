"""Declarations of fields: what derives from them, and incomplete ones that are refused."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from cmfm_protocol import Reason
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import Meaning, Required, Since, Unit, fields_of, plain_map, read
from cmfm_protocol.wire.wire_types import WireType, integer, items, map_of, number, one_of, optional, text

Length = Annotated[float, number(0), Unit("mm"), Meaning("a length")]


@dataclass(frozen=True, slots=True)
class Box:
    """A made-up message."""

    name: Annotated[str, text(empty=False), Meaning("its name")]
    width_mm: Annotated[Length, Meaning("from side to side")]
    corners: Annotated[tuple[int, ...] | None, optional(items(integer(), most=4)), Required()] = None
    lid: Annotated[str | None, optional(one_of(["on", "off"])), Since(2)] = None


def test_a_declaration_says_all_of_a_field() -> None:
    """Name, type, unit, meaning, default and version come from one place; an alias may be given another meaning."""
    name, width, corners, lid = fields_of(Box)
    assert (name.name, name.required, name.python, name.nullable) == ("name", True, str, False)
    assert (width.wire_type.name, width.unit, width.meaning) == ("float, from 0", "mm", "from side to side")
    assert (corners.required, corners.python, corners.nullable) == (True, tuple, True)
    assert (lid.required, lid.default, lid.since) == (False, None, 2)


def test_value_and_map_follow_the_declaration() -> None:
    """A value goes to its map and back; keys that are not declared are ignored."""
    box = Box("crate", 300.0, corners=(1, 2))
    data = plain_map(box)
    assert data == {"name": "crate", "width_mm": 300.0, "corners": [1, 2], "lid": None}
    assert read(Box, {**data, "colour": "red"}) == box


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": ""}, "name"), ({"width_mm": -1}, "width_mm"), ({"corners": [1, -1]}, r"corners\[1\]")],
)
def test_a_broken_rule_names_the_field(change: dict[str, object], field: str) -> None:
    """The path of the field, down to the item of a list, stands before what is wrong."""
    with pytest.raises(Violation, match=f"^{field}: "):
        read(Box, {"name": "crate", "width_mm": 1, "corners": None} | change)


def test_a_default_of_the_program_does_not_make_a_field_optional() -> None:
    """A field marked as required is missed on the wire, whatever the dataclass would put in its place."""
    with pytest.raises(Violation, match=r"corners: missing") as caught:
        read(Box, {"name": "crate", "width_mm": 1})
    assert caught.value.reason is Reason.MALFORMED


def test_incomplete_declarations_are_refused() -> None:
    """A field without a type of the wire, or added later without a default, is a mistake of ours."""

    @dataclass(frozen=True)
    class Untyped:
        width: int

    @dataclass(frozen=True)
    class Late:
        width: Annotated[int, integer(), Since(1)]

    with pytest.raises(TypeError, match="width: no type of the wire"):
        fields_of(Untyped)
    with pytest.raises(TypeError, match="needs a default"):
        fields_of(Late)


@pytest.mark.parametrize(
    ("wire_type", "name"),
    [
        (integer(), "int"),
        (integer(1), "int, from 1"),
        (integer(0, 2**63 - 1), "int, to 2⁶³ − 1"),
        (integer(1, 500), "int, 1 to 500"),
        (optional(integer(-7, 7)), "int, ± (7), or nil"),
        (number(0, 86_400_000.0), "float, 0 to 86400000"),
        (text(empty=False, max_bytes=64), "text, 1 to 64 bytes"),
        (one_of(["2d", "3d", ""]), "`2d`, `3d` or empty"),
        (items(integer(), least=4, most=4), "list of 4 int"),
        (map_of(["a"], integer(), complete=True), "map of int"),
    ],
)
def test_types_are_named_with_their_limits(wire_type: WireType, name: str) -> None:
    """An integrator reads every limit of a field in the column of its type."""
    assert wire_type.name == name
