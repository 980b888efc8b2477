"""Text to and from the terminal that its encoding cannot carry: escaped on the way out, refused on the way in."""

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper


def escape_unencodable_output() -> None:
    """Let stdout and stderr write a character that their encoding lacks as \\N escape, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def not_utf8(arguments: Sequence[str]) -> str | None:
    """Return a message about the first argument that is not UTF-8 text, None if all are.

    Names of files and folders go into recipes, tables and ids, which are UTF-8.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode("utf-8", errors="backslashreplace")
            return f"{shown}: is not UTF-8 text; rename the file or folder"
    return None
