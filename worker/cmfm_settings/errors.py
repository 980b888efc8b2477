"""The error that every program of ours turns into exit code 2."""


class InputError(Exception):
    """The user's input cannot be used; the message names the file, key or field and what was expected."""
