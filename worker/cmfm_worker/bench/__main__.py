"""`python -m cmfm_worker.bench`: the bench where only torch, timm and numpy are installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmfm_worker.bench.benchmark import measure
from cmfm_worker.bench.options import BenchError, parse_arguments
from cmfm_worker.bench.tables import as_text, remarks, tables

_BAD_INPUT = 2


def main(arguments: Sequence[str]) -> int:
    """Measure and show; the exit code."""
    options, json_file = parse_arguments(arguments)
    try:
        report = measure(options, _say)
        if json_file is not None:
            write_json(json_file, report)
    except BenchError as error:
        _say(str(error))
        return _BAD_INPUT
    for table in tables(report):
        sys.stdout.write(as_text(table) + "\n")
    for remark in remarks(report):
        sys.stdout.write(remark + "\n")
    return 0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write a report. Raises BenchError where the file cannot be written."""
    try:
        path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{path}: cannot be written ({error.strerror or error})") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
