"""Files of one JSON object a line, written so that a killed writer leaves at most one torn line at the end."""

import json
import os
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, Literal

from cmfm_client.errors import RecordError

TAIL_BYTES: Final = 65536
"""Read at a time when the end of the last whole line is looked for."""


def open_json_lines(path: Path, mode: Literal["a", "w"] = "w") -> TextIOWrapper:
    """Open a file for writing; its folder is made. Raises RecordError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open(mode, encoding="utf-8")
    except OSError as error:
        raise RecordError(f"{path} cannot be written: {error}") from error


def write_json_line(file: TextIOWrapper, line: dict[str, Any]) -> None:
    """Append an object and hand it to the operating system: it survives this process, not a power cut."""
    file.write(json.dumps(line) + "\n")
    file.flush()


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers from 1 and objects. A last line without its end is torn and left out.

    Raises RecordError naming the line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith("\n"):
                    return
                yield number, _object(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} cannot be read: {error}") from error


def cut_torn_line(path: Path) -> None:
    """Remove a last line without its end. A missing file is not an error. Raises RecordError."""
    try:
        with path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(end - TAIL_BYTES, 0)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    end = start + newline + 1
                    break
                end = start
            file.truncate(end)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RecordError(f"{path} cannot be written: {error}") from error


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise RecordError(f"{path}:{number}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path}:{number}: expected an object")
    return value
