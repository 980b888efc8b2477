"""The error that every program of ours turns into exit code 3."""


class StartupError(Exception):
    """The program cannot start although its settings are valid: a port is taken, a file is not writable."""
