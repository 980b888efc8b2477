"""Arrays beside a header: described by `ArraySpec`, sent as raw bytes, viewed in place (WIRE.md, arrays)."""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.checks import integer, items, optional, text
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.record import nested
from cmfm_protocol.wire.verdict import Reason

MAX_DIMS: Final = 3
"""Rows, columns, channels."""


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """What a header says about one array. `dtype` is a numpy type string with byte order ("|u1", "<f4")."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    unit: str
    invalid: str
    crc32: int | None = None


@dataclass(frozen=True, slots=True)
class ArrayRule:
    """What the wire prescribes for one array; None in `shape` is a side of 1 to MAX_SIDE_PX pixels."""

    name: str
    dtypes: tuple[str, ...]
    shape: tuple[int | None, ...]
    unit: str
    invalid: str = "none"


SPEC_TABLE: Final = {
    "name": text(empty=False),
    "dtype": text(empty=False),
    "shape": items(integer(), most=MAX_DIMS),
    "nbytes": integer(),
    "unit": text(),
    "invalid": text(),
    "crc32": optional(integer(0, 0xFFFF_FFFF)),
}
SPECS: Final = items(nested(ArraySpec, SPEC_TABLE), most=limits.MAX_ARRAYS)
"""The check of a header's `arrays`."""


def describe(
    rules: Sequence[ArrayRule], arrays: Mapping[str, NDArray[Any]], *, checksums: bool
) -> tuple[tuple[ArraySpec, ...], list[memoryview]]:
    """Specs and bytes of the arrays to send, in the order of `rules`; an array with gaps is copied together.

    Raises Violation where an array is not as its rule says.
    """
    specs, parts = [], []
    for rule in rules:
        array = arrays[rule.name]
        if not isinstance(array, np.ndarray):
            raise Violation(
                Reason.ARRAY_MISMATCH, f"expected a numpy array, got {type(array).__name__}", rule.name
            )
        spec = ArraySpec(rule.name, array.dtype.str, array.shape, array.nbytes, rule.unit, rule.invalid)
        _check_spec(rule, spec)
        data = np.ascontiguousarray(array).data.cast("B")
        specs.append(replace(spec, crc32=zlib.crc32(data)) if checksums else spec)
        parts.append(data)
    return tuple(specs), parts


def check_specs(rules: Sequence[ArrayRule], specs: Sequence[ArraySpec]) -> None:
    """Raises Violation where the arrays announced are not those of `rules`, in that order."""
    names, expected = [spec.name for spec in specs], [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise Violation(Reason.ARRAY_MISMATCH, "the same array twice", "arrays")
    if names != expected:
        raise Violation(Reason.ARRAY_MISMATCH, f"expected {', '.join(expected)}", "arrays")
    for rule, spec in zip(rules, specs, strict=True):
        _check_spec(rule, spec)


def view(specs: Sequence[ArraySpec], parts: Sequence[memoryview]) -> list[NDArray[Any]]:
    """The arrays as read-only views of `parts` (nothing is copied), their specs having been checked.

    Raises Violation where the bytes are not as announced (`truncated`, `array_mismatch`, `checksum`).
    """
    if len(parts) < len(specs):
        raise Violation(Reason.TRUNCATED, f"{len(parts)} arrays arrived, {len(specs)} were announced")
    if len(parts) > len(specs):
        raise Violation(Reason.ARRAY_MISMATCH, f"{len(parts)} arrays arrived, {len(specs)} were announced")
    for spec, part in zip(specs, parts, strict=True):
        _check_length(spec, part.nbytes)
    for spec, part in zip(specs, parts, strict=True):
        if spec.crc32 is not None and zlib.crc32(part) != spec.crc32:
            raise Violation(Reason.CHECKSUM, "the bytes are not those that were sent", spec.name)
    return [_view(spec, part) for spec, part in zip(specs, parts, strict=True)]


def _view(spec: ArraySpec, part: memoryview) -> NDArray[Any]:
    return np.frombuffer(part, dtype=np.dtype(spec.dtype)).reshape(spec.shape)  # read-only, as `part` is


def _check_length(spec: ArraySpec, nbytes: int) -> None:
    if nbytes != spec.nbytes:
        reason = Reason.TRUNCATED if nbytes < spec.nbytes else Reason.ARRAY_MISMATCH
        raise Violation(reason, f"{nbytes} bytes arrived, {spec.nbytes} were announced", spec.name)


def _check_spec(rule: ArrayRule, spec: ArraySpec) -> None:
    if spec.dtype not in rule.dtypes:
        raise _mismatch(spec, "dtype", " or ".join(rule.dtypes))
    if len(spec.shape) != len(rule.shape):
        raise _mismatch(spec, "shape", f"{len(rule.shape)} dimensions")
    for side, wanted in zip(spec.shape, rule.shape, strict=True):
        if wanted is None and side > limits.MAX_SIDE_PX:
            raise Violation(
                Reason.OVERSIZE, f"a side of {side}; at most {limits.MAX_SIDE_PX}", f"{spec.name}.shape"
            )
        if side < 1 or wanted not in (None, side):
            raise _mismatch(
                spec, "shape", " x ".join("N" if want is None else str(want) for want in rule.shape)
            )
    if spec.nbytes != math.prod(spec.shape) * np.dtype(spec.dtype).itemsize:
        raise _mismatch(spec, "nbytes", "the product of shape and item size")
    if spec.nbytes > limits.MAX_ARRAY_BYTES:
        raise Violation(Reason.OVERSIZE, f"{spec.nbytes} bytes; at most {limits.MAX_ARRAY_BYTES}", spec.name)
    if spec.unit != rule.unit:
        raise _mismatch(spec, "unit", repr(rule.unit))
    if spec.invalid != rule.invalid:
        raise _mismatch(spec, "invalid", repr(rule.invalid))


def _mismatch(spec: ArraySpec, field: str, expected: str) -> Violation:
    return Violation(Reason.ARRAY_MISMATCH, f"expected {expected}", f"{spec.name}.{field}")
