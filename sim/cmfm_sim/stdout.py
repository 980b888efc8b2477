"""The console of a command: as wide as the terminal, or in a pipe so wide that no line is wrapped or cut."""

from typing import Final

from rich.console import Console

PIPE_COLUMNS: Final = 4096


def stdout_console(*, stderr: bool = False) -> Console:
    """Return the console for stdout (or stderr)."""
    console = Console(highlight=False, stderr=stderr)
    return console if console.is_terminal else Console(highlight=False, stderr=stderr, width=PIPE_COLUMNS)
