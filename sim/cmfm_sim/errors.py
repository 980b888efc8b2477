"""Errors that end a command of the simulator; `app.main` prints each as one line and exits with its code."""


class InputError(Exception):
    """The user's input cannot be used; the message names the option, file or endpoint (exit code 2)."""


class FailedError(Exception):
    """A valid command failed: no worker, a dead process (exit code 1)."""
