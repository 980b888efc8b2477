"""Arrays beside a header: described by `ArraySpec`, sent as raw bytes, viewed in place (WIRE.md, array description)."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray

from cmfm_protocol.wire import limits
from cmfm_protocol.wire.errors import Violation
from cmfm_protocol.wire.fields import Meaning, Unit, nested
from cmfm_protocol.wire.verdict import Reason
from cmfm_protocol.wire.wire_types import integer, items, optional, text

MAX_DIMS: Final = 3
"""Rows, columns, channels."""

Checksum = Callable[[Any], int]
"""Computes the CRC-32 (ISO-HDLC) of a buffer of bytes, as `zlib.crc32` does."""


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """Description of one array in a header."""

    name: Annotated[str, text(empty=False), Meaning("name of the array")]
    dtype: Annotated[
        str,
        text(empty=False),
        Meaning("element type with byte order: `|u1` uint8, `<f4` float32, `<f2` float16"),
    ]
    shape: Annotated[
        tuple[int, ...],
        items(integer(), most=MAX_DIMS),
        Meaning("`[rows, columns]`, or `[rows, columns, channels]`; sides of a frame 1 to 8192"),
    ]
    nbytes: Annotated[
        int,
        integer(),
        Unit("bytes"),
        Meaning("length of the array; the product of `shape` times the element size"),
    ]
    unit: Annotated[str, text(), Meaning("unit of the elements")]
    invalid: Annotated[str, text(), Meaning("mark of an element that was not measured")]
    crc32: Annotated[
        int | None,
        optional(integer(0, 0xFFFF_FFFF)),
        Meaning("CRC-32 of the array's bytes (zlib's, ISO-HDLC); nil: not checked"),
    ] = None


@dataclass(frozen=True, slots=True)
class ArrayRule:
    """The array that the wire requires; None in `shape` is a side of 1 to MAX_SIDE_PX pixels."""

    name: str
    dtypes: tuple[str, ...]
    shape: tuple[int | None, ...]
    unit: str
    invalid: str = "none"


SPECS: Final = items(nested(ArraySpec), most=limits.MAX_ARRAYS)
"""Type of a header's `arrays`."""


def describe(
    rules: Sequence[ArrayRule],
    arrays: Mapping[str, NDArray[Any]],
    *,
    checksums: bool,
    crc32: Checksum = zlib.crc32,
) -> tuple[tuple[ArraySpec, ...], list[memoryview]]:
    """Specs and bytes of the arrays to send, in the order of `rules`; only an array with gaps is copied.

    Raises Violation for an array that does not follow its rule.
    """
    specs, frames = [], []
    for rule in rules:
        array = arrays[rule.name]
        if not isinstance(array, np.ndarray):
            raise Violation(
                Reason.ARRAY_MISMATCH, f"expected a numpy array, got {type(array).__name__}", rule.name
            )
        spec = ArraySpec(rule.name, array.dtype.str, array.shape, array.nbytes, rule.unit, rule.invalid)
        _check_spec(rule, spec)
        data = np.ascontiguousarray(array).data.cast("B")
        specs.append(replace(spec, crc32=crc32(data)) if checksums else spec)
        frames.append(data)
    return tuple(specs), frames


def check_specs(rules: Sequence[ArrayRule], specs: Sequence[ArraySpec]) -> None:
    """Raises Violation unless the announced arrays are those of `rules`, in that order."""
    names, expected = [spec.name for spec in specs], [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise Violation(Reason.ARRAY_MISMATCH, "the same array twice", "arrays")
    if names != expected:
        raise Violation(Reason.ARRAY_MISMATCH, f"expected {', '.join(expected)}", "arrays")
    for rule, spec in zip(rules, specs, strict=True):
        _check_spec(rule, spec)


def view(specs: Sequence[ArraySpec], frames: Sequence[memoryview]) -> list[NDArray[Any]]:
    """The arrays as read-only views of their message frames; nothing is copied. `specs` must have been checked.

    Raises Violation if the bytes are not those announced (`truncated`, `array_mismatch`, `checksum`).
    """
    if len(frames) < len(specs):
        raise Violation(Reason.TRUNCATED, f"{len(frames)} arrays arrived, {len(specs)} were announced")
    if len(frames) > len(specs):
        raise Violation(Reason.ARRAY_MISMATCH, f"{len(frames)} arrays arrived, {len(specs)} were announced")
    for spec, frame in zip(specs, frames, strict=True):
        _check_length(spec, frame.nbytes)
    for spec, frame in zip(specs, frames, strict=True):
        if spec.crc32 is not None and zlib.crc32(frame) != spec.crc32:
            raise Violation(Reason.CHECKSUM, "the bytes are not those that were sent", spec.name)
    return [_view(spec, frame) for spec, frame in zip(specs, frames, strict=True)]


def _view(spec: ArraySpec, frame: memoryview) -> NDArray[Any]:
    return np.frombuffer(frame, dtype=np.dtype(spec.dtype)).reshape(spec.shape)  # read-only, as `frame` is


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
