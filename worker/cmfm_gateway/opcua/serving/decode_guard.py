"""Closes a hole in the library's decoder: an array of Null elements has any length and no bytes.

Five bytes would make it build a list of two thousand million elements. OPC UA has no arrays of Null (OPC 10000-6,
5.1.2), so that they are refused.
"""

from typing import Any

from asyncua.ua import ua_binary
from asyncua.ua.uaerrors import UaError


class _NoNullArrays:
    """Stands for the array codec of Null in the library's table."""

    def unpack_array(self, _data: Any, length: int) -> tuple[Any, ...] | None:
        if length > 0:
            raise UaError(f"an array of {length} Null elements")
        return None if length < 0 else ()

    def pack_array(self, array: Any) -> bytes:
        """Encode no elements; an array of Null has none."""
        length = -1 if array is None else 0
        encoded: bytes = ua_binary.Primitives.Int32.pack(length)
        return encoded


def refuse_null_arrays() -> None:
    """Put the guard into the library's table; once a process, before the first message."""
    ua_binary.Primitives1.Null = _NoNullArrays()
    ua_binary._create_uatype_array_deserializer.cache_clear()
