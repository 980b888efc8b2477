"""The entry point that every command of ours shares: its arguments, and the exit code of each error."""

import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Final

from cmfm_protocol.files.terminal import escape_unencodable_output, not_utf8

BUG: Final = 1
BAD_INPUT: Final = 2


def run_command(
    name: str,
    command: Callable[[list[str] | None], object],
    exit_code: Callable[[BaseException], int],
    arguments: Sequence[str] | None = None,
) -> None:
    """Run `command`, by default on the process's arguments; exit with the code of the error that ends it.

    An error is one line on stderr after the program's `name`. BUG shows its traceback.
    """
    escape_unencodable_output()
    if problem := not_utf8(sys.argv[1:] if arguments is None else arguments):
        sys.stderr.write(f"{name}: {problem}\n")
        sys.exit(BAD_INPUT)
    try:
        command(None if arguments is None else list(arguments))
    except Exception as error:  # noqa: BLE001 (every error gets its exit code)
        code = exit_code(error)
        if code == BUG:
            traceback.print_exception(error)
        else:
            sys.stderr.write(f"{name}: {error}\n")
        sys.exit(code)
