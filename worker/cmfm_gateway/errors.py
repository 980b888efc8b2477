"""Errors of the gateway. `app.main` turns each that ends the process into its exit code and one line on stderr."""

from enum import IntEnum

from cmfm_service.errors import StartupError
from cmfm_settings.errors import InputError

__all__ = ["AdapterError", "ExitCode", "InputError", "StartupError", "first_error"]


class ExitCode(IntEnum):
    """The exit codes of `cmfm-gateway`, documented in its `--help`."""

    OK = 0
    BUG = 1
    BAD_INPUT = 2
    STARTUP = 3


class AdapterError(Exception):
    """An adapter cannot go on; the message is a sentence for the log. It is started again, the others go on."""


def first_error(error: BaseException) -> BaseException:
    """Return the first error in a group that is not a group itself; an error alone is returned as given."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
