"""The folder of a run: every finished cell is a file, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.experiments import Cell

SCHEMA: Final = 2
CELLS: Final = "cells"
RECIPES: Final = "recipes"
PICTURES: Final = "pictures"


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came out of a cell: figures as plain values for JSON, and files by their path in the run's folder."""

    figures: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


class Store:
    """A run's folder. Raises InputError where it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / CELLS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made ({error.strerror or error})") from error

    def load(self, cell: Cell, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The figures of a cell that was finished under the same settings, from the same `inputs`; else None.

        Raises InputError where it is there and cannot be read.
        """
        kept = self._read(cell)
        asked = {"settings": cell.settings.as_json(), "inputs": dict(inputs)}
        if kept is None or any(kept.get(key) != value for key, value in asked.items()):
            return None
        return kept if set(cell.aggregations) <= kept.get("metrics", {}).keys() else None

    def differences(self, cell: Cell, inputs: Mapping[str, Any]) -> list[str]:
        """In words, how the kept cell was taught otherwise than is asked for; none where there is no kept cell.

        Parts that have changed since are no such difference: the cell is then out of date.
        """
        kept = self._read(cell)
        if kept is None:
            return []
        asked = cell.settings.as_json()
        found = [
            f"{key} was {kept['settings'].get(key)}, is {value}"
            for key, value in asked.items()
            if kept["settings"].get(key) != value
        ]
        others = {
            "weights": "the weights files were others",
            "extractor_version": "the extractor was of another version",
        }
        return found + [text for key, text in others.items() if kept["inputs"].get(key) != inputs[key]]

    def outdated(self, cell: Cell, inputs: Mapping[str, Any]) -> bool:
        """Whether the cell is kept, but was measured from other parts."""
        kept = self._read(cell)
        return kept is not None and kept["inputs"].get("parts") != inputs["parts"]

    def _read(self, cell: Cell) -> dict[str, Any] | None:
        """A kept cell, whatever its settings; None where there is none, or one that is torn or of another schema."""
        path = self._path(cell)
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            return None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        whole = (
            isinstance(kept, dict) and kept.get("schema") == SCHEMA and {"settings", "inputs"} <= kept.keys()
        )
        return kept if whole else None

    def save(self, cell: Cell, inputs: Mapping[str, Any], result: CellResult) -> dict[str, Any]:
        """Keep a cell; its figures appear last, and whole. Returns them as `load` would."""
        kept = {
            "schema": SCHEMA,
            "category": cell.category,
            "name": cell.name,
            "settings": cell.settings.as_json(),
            "inputs": dict(inputs),
            **result.figures,
        }
        for name, content in result.files.items():
            self.write(name, content)
        self.write(
            str(self._path(cell).relative_to(self.folder)),
            (json.dumps(kept, indent=1, allow_nan=False) + "\n").encode(),
        )
        return kept

    def write(self, name: str, content: bytes) -> Path:
        """Write a file of the folder, whole or not at all."""
        path = self.folder / name
        partial = path.with_name(path.name + ".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
        return path

    def _path(self, cell: Cell) -> Path:
        return self.folder / CELLS / cell.category / f"{cell.name}.json"
