"""The demo's folder: its endpoints, its `line.toml`, and the paths of all that it writes."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w

from cmfm_client.subscriber import SubscriberOptions
from cmfm_sim.errors import InputError
from cmfm_sim.ports import free_ports
from cmfm_sim.trigger_log import TriggerRecord, read_triggers

KEPT_MB: Final = 500
"""Archived frames of a demo whose parts go round for days."""

MARKER: Final = ".cmfm-demo"
"""File that marks a folder as the demo's own, which the next demo may empty."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The five endpoints of a line, named as in line.toml."""

    frames: str
    results: str
    maps: str
    recovery: str
    control: str

    @classmethod
    def free(cls) -> "Endpoints":
        """Free endpoints on this machine."""
        return cls(*(f"tcp://127.0.0.1:{port}" for port in free_ports(5)))

    def subscriber(self) -> SubscriberOptions:
        """Options of a subscriber to results, maps and recovery, from the first result on."""
        return SubscriberOptions(self.results, self.maps, self.recovery, from_start=True)


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Paths of what the demo writes."""

    root: Path

    @property
    def dataset(self) -> Path:
        """Synthetic parts in MVTec 3D-AD layout."""
        return self.root / "dataset"

    @property
    def recipes(self) -> Path:
        """Folder of recipes, one folder each."""
        return self.root / "recipes"

    @property
    def rejected(self) -> Path:
        """Pictures of rejected parts."""
        return self.root / "rejected"

    @property
    def kept(self) -> Path:
        """Frames of rejected parts, which the worker archives beside its settings."""
        return self.root / "kept"

    @property
    def logs(self) -> Path:
        """Logs of the processes."""
        return self.root / "logs"

    @property
    def config(self) -> Path:
        """The line's settings."""
        return self.root / "line.toml"

    @property
    def triggers(self) -> Path:
        """The camera's triggers, with the ground truth."""
        return self.root / "triggers.jsonl"

    @property
    def rounds(self) -> Path:
        """The camera's triggers while the parts go round for the page."""
        return self.root / "rounds.jsonl"

    def fired(self) -> list[TriggerRecord]:
        """Every trigger of the camera. Raises RecordError."""
        rounds = read_triggers(self.rounds) if self.rounds.is_file() else []
        return [*read_triggers(self.triggers), *rounds]

    @property
    def results(self) -> Path:
        """The results received."""
        return self.root / "results.jsonl"

    @property
    def summary(self) -> Path:
        """The figures at the end."""
        return self.root / "summary.json"

    def taught(self) -> list[Path]:
        """The folders of the recipes that are there."""
        return sorted(path.parent for path in self.recipes.glob("*/recipe.toml"))

    def prepare(self, *, keep: bool) -> None:
        """Make the folder, or remove what an earlier demo left in it; `keep` keeps its parts and recipes.

        Raises InputError if it holds files of another origin.
        """
        marker = self.root / MARKER
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"--out {self.root} is a file; expected a folder")
        if self.root.is_dir() and not marker.is_file() and any(self.root.iterdir()):
            raise InputError(
                f"--out {self.root} is not empty and was not written by a demo; name another folder"
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            marker.write_text("written by cmfm-sim demo, which may empty this folder\n", encoding="utf-8")
            self._empty(keep=keep)
        except OSError as error:
            raise InputError(f"--out {self.root} cannot be written: {error}") from error

    def write_config(self, endpoints: Endpoints, recipes: Sequence[str]) -> None:
        """Write line.toml; paths in it are relative, so the folder can be moved."""
        settings = {
            "line": {"name": "line1", "station": "station1"},
            "sockets": {
                "frames": [endpoints.frames],
                "results": endpoints.results,
                "maps": endpoints.maps,
                "recovery": endpoints.recovery,
                "control": endpoints.control,
            },
            "recipes": {"folder": self.recipes.name, "names": list(recipes)},
            "ledger": {"path": "ledger.sqlite"},
            "kept": {"max_mb": KEPT_MB},
            "log": {"format": "console", "level": "info"},
        }
        self.config.write_text(tomli_w.dumps(settings), encoding="utf-8")

    def _empty(self, *, keep: bool) -> None:
        for folder in (self.rejected, self.kept, self.logs, *(() if keep else (self.dataset, self.recipes))):
            shutil.rmtree(folder, ignore_errors=True)
        databases = (file for name in ("ledger", "hmi") for file in self.root.glob(f"{name}.sqlite*"))
        for file in (self.config, self.triggers, self.rounds, self.results, self.summary, *databases):
            file.unlink(missing_ok=True)
