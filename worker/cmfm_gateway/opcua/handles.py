"""Handles that methods give out with results and lists. What they stand for never changes, so they hold nothing."""

from collections import OrderedDict
from itertools import count
from typing import Final

from cmfm_gateway.opcua.errors import ErrorCode

NO_HANDLE: Final = 0
KEPT: Final = 1000
"""Handles that are known; older ones count as released."""


class Handles:
    """Numbers from 1 on, until they are released."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._known: OrderedDict[int, None] = OrderedDict()

    def new(self) -> int:
        """Return a handle."""
        number = next(self._numbers) % 2**32 or next(self._numbers)
        self._known[number] = None
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return number

    def release(self, handle: int | None) -> ErrorCode:
        """Forget a handle; UNKNOWN if it is not known."""
        if handle is None or handle not in self._known:
            return ErrorCode.UNKNOWN
        self._known.pop(handle)
        return ErrorCode.OK
