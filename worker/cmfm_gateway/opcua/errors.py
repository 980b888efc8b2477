"""Error codes of methods: the output argument `Error`. Negative codes are this gateway's own."""

from enum import IntEnum


class ErrorCode(IntEnum):
    """Values of `Error`. docs/plc.md lists them."""

    OK = 0
    REFUSED = -1  # the worker said no
    NO_REPLY = -2  # the worker did not reply; it is not known whether it did what was asked
    NOT_NOW = -3  # not in this state of the machine
    UNKNOWN = -4  # no such result, recipe, configuration or handle
    BAD_ARGUMENT = -5  # an argument that cannot be used


class MethodError(Exception):
    """A method did not do what was asked; `code` is its output argument."""

    def __init__(self, code: ErrorCode, text: str = "") -> None:
        super().__init__(text or code.name)
        self.code = code
