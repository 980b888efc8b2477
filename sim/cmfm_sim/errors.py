"""What ends a command of the simulator; `app.main` turns each into its exit code and one line on stderr."""


class InputError(Exception):
    """What the user gave cannot be used; the message names the option, file or endpoint (exit code 2)."""


class FailedError(Exception):
    """The command was right, but what it tried did not come about: no worker, a dead process (exit code 1)."""
