"""The command line of the benchmark, for `cmfm-worker bench` and `python -m cmfm_worker.bench`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmfm_worker.bench.help import HELP
from cmfm_worker.bench.options import BenchError, BenchOptions

if TYPE_CHECKING:
    from cmfm_worker.bench.tables import Table

_DESCRIPTION = (
    "Benchmark the method on this machine: frames/s, latency, memory, and each stage beside its floor. A floor is the "
    "time that the stage's operations and bytes take at the rates of a matrix product and of a copy, both measured in "
    "the same run. Without --weights or --seeded `paper` cannot run."
)


def run_command(
    arguments: Sequence[str], program: str, *, say: Callable[[str], None], show: Callable[[Table], None]
) -> None:
    """Run the benchmark that a command line asks for.

    `say` gets progress and remarks, `show` the tables. Raises BenchError for options that do not fit together. Exits
    the process for `--help` (0) and for options that do not exist or cannot be read (2).
    """
    options, json_file = parse_arguments(arguments, program)
    # Late, so that --help does not wait for torch.
    from cmfm_worker.bench.benchmark import run_benchmark
    from cmfm_worker.bench.tables import remarks, tables

    if json_file is not None:
        _try_file(json_file)
    report = run_benchmark(options, say)
    if json_file is not None:
        _write_json(json_file, report)
    for table in tables(report):
        show(table)
    for remark in remarks(report):
        say(remark)


def parse_arguments(arguments: Sequence[str], program: str) -> tuple[BenchOptions, Path | None]:
    """Read the options and the file for the report. Exits the process for bad ones."""
    parser = argparse.ArgumentParser(program, description=_DESCRIPTION, allow_abbrev=False)
    for field in fields(BenchOptions):
        flag = "--" + field.name.replace("_", "-")
        if field.name not in _PARSERS:
            parser.add_argument(flag, action="store_true", help=HELP[field.name])
            continue
        shown = HELP[field.name] + _default(field.default)
        parser.add_argument(flag, type=_PARSERS[field.name], default=field.default, help=shown)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help=HELP["json"])
    given = vars(parser.parse_args(arguments))
    json_file = given.pop("json")
    return BenchOptions(**given), json_file


def _comma_list(kind: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Make a parser of "a,b,c". It raises ValueError if an element is not of `kind`."""

    def parse(text: str) -> tuple[Any, ...]:
        return tuple(kind(part.strip()) for part in text.split(",") if part.strip())

    parse.__name__ = f"comma list of {kind.__name__}"  # argparse shows it
    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "extractors": _comma_list(str),
    "image_extractor": _comma_list(str),
    "blocks": _comma_list(int),
    "group_sizes": _comma_list(int),
    "precisions": _comma_list(str),
    "batches": _comma_list(int),
    "devices": _comma_list(str),
    "mappings": _comma_list(str),
    "modalities": _comma_list(str),
    "weights": Path,
    "frames": _comma_list(Path),
    "rgb": Path,
    "xyz": Path,
    "side_px": int,
    "background": str,
    "seconds": float,
    "threads": int,
    "rate_hz": float,
}
"""How each option with a value is read. Options that are not here are flags."""


def _default(value: object) -> str:
    """Describe a default for the help; nothing if there is none."""
    if value is None or value == ():
        return ""
    return f" Default: {','.join(map(str, value)) if isinstance(value, tuple) else value}."


def _try_file(path: Path) -> None:
    """Raise BenchError before any work if the report cannot be written. The file keeps its bytes."""
    was_there = path.exists()
    try:
        path.open("ab").close()
        if not was_there:
            path.unlink()
    except OSError as error:
        raise BenchError(f"{path}: cannot be written ({error.strerror or error})") from error


def _write_json(path: Path, report: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{path}: cannot be written ({error.strerror or error})") from error
