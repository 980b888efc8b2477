"""What ends a command: errors of the user's input, of the start-up, of the device; anything else is our bug.

`app.main` turns each into its exit code and one line on stderr; only our bugs show a traceback.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of `cmfm-worker`, documented in its `--help`."""

    OK = 0
    BUG = 1
    BAD_INPUT = 2
    STARTUP = 3
    LOST_DEVICE = 4
    HUNG_DEVICE = 5


class InputError(Exception):
    """What the user gave cannot be used; the message names the file, key or field and what was expected."""


class StartupError(Exception):
    """The line cannot start although its settings are valid: a port is taken, the ledger is not writable."""


class LostDeviceError(Exception):
    """The accelerator stopped answering; the process must be started again by its supervisor."""


class HungDeviceError(Exception):
    """A computation did not come back; the process must be started again, and nothing of it is waited for."""
