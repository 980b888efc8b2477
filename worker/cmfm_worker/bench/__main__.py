"""`cmfm-worker bench` for machines with torch, timm and numpy alone: the same options, tables as plain text."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cmfm_worker.bench.command import run_command
from cmfm_worker.bench.options import BenchError
from cmfm_worker.bench.tables import Table, as_text

_PROGRAM = "python -m cmfm_worker.bench"
_BAD_INPUT = 2


def main(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    try:
        run_command(arguments, _PROGRAM, say=_say, show=_show)
    except BenchError as error:
        _say(str(error))
        return _BAD_INPUT
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _show(table: Table) -> None:
    sys.stdout.write(as_text(table) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
