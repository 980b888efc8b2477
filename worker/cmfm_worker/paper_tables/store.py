"""The folder of a run. Every finished experiment is a file, so that an interrupted run can continue."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cmfm_worker.errors import InputError
from cmfm_worker.paper_tables.experiments import Experiment

SCHEMA: Final = 2
EXPERIMENTS: Final = "experiments"
RECIPES: Final = "recipes"
PICTURES: Final = "pictures"


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """The result of an experiment: figures as plain values for JSON, and files by their path in the run's folder."""

    figures: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)


class Store:
    """A run's folder. Raises InputError if it cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            (folder / EXPERIMENTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be created ({error.strerror or error})") from error

    def load(self, experiment: Experiment, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the figures of an experiment finished with the same settings and `inputs`; else None.

        Raises InputError if its file cannot be read.
        """
        stored = self._read(experiment)
        asked = {"settings": experiment.settings.as_json(), "inputs": dict(inputs)}
        if stored is None or any(stored.get(key) != value for key, value in asked.items()):
            return None
        return stored if set(experiment.aggregations) <= stored.get("metrics", {}).keys() else None

    def differences(self, experiment: Experiment, inputs: Mapping[str, Any]) -> list[str]:
        """Describe how the settings of the stored experiment differ; empty if none is stored.

        Changed parts are not a difference of settings: the stored experiment is then `outdated`.
        """
        stored = self._read(experiment)
        if stored is None:
            return []
        asked = experiment.settings.as_json()
        found = [
            f"{key} was {stored['settings'].get(key)}, is {value}"
            for key, value in asked.items()
            if stored["settings"].get(key) != value
        ]
        others = {
            "weights": "the weights files were others",
            "extractor_version": "the extractor was of another version",
        }
        return found + [text for key, text in others.items() if stored["inputs"].get(key) != inputs[key]]

    def outdated(self, experiment: Experiment, inputs: Mapping[str, Any]) -> bool:
        """Return True if the experiment is stored, but its parts have changed since."""
        stored = self._read(experiment)
        return stored is not None and stored["inputs"].get("parts") != inputs["parts"]

    def _read(self, experiment: Experiment) -> dict[str, Any] | None:
        """Read a stored experiment with any settings; None if there is none, or it is damaged or of another schema."""
        path = self._path(experiment)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
            return None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
        whole = (
            isinstance(stored, dict)
            and stored.get("schema") == SCHEMA
            and {"settings", "inputs"} <= stored.keys()
        )
        return stored if whole else None

    def save(
        self, experiment: Experiment, inputs: Mapping[str, Any], result: ExperimentResult
    ) -> dict[str, Any]:
        """Store an experiment; its figures are written last, in one rename. Returns them as `load` would."""
        stored = {
            "schema": SCHEMA,
            "category": experiment.category,
            "name": experiment.name,
            "settings": experiment.settings.as_json(),
            "inputs": dict(inputs),
            **result.figures,
        }
        for name, content in result.files.items():
            self.write(name, content)
        self.write(
            str(self._path(experiment).relative_to(self.folder)),
            (json.dumps(stored, indent=1, allow_nan=False) + "\n").encode(),
        )
        return stored

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

    def _path(self, experiment: Experiment) -> Path:
        return self.folder / EXPERIMENTS / experiment.category / f"{experiment.name}.json"
