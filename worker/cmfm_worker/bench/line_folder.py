"""Recipe folder, frame file and camera process of both measurements of the line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from cmfm_worker.bench.camera import Order, Sent
from cmfm_worker.bench.made_up_frames import Frames
from cmfm_worker.bench.options import BenchError
from cmfm_worker.bench.stages import Setup
from cmfm_worker.recipes.folder import save_recipe
from cmfm_worker.recipes.recipe import RecipeDraft
from cmfm_worker.recipes.sections import (
    BackgroundSection,
    ExtractorSection,
    ProvenanceSection,
    ScoreSection,
    ThresholdSection,
)

RECIPE, LINE, STATION = "bench", "bench", "bench"

_UNREACHED_SCORE = 1e9
_STOP_S = 30.0


def write_recipe(recipes: Path, setup: Setup) -> None:
    """Write a recipe that passes every part; its networks need not be trained."""
    background = setup.background
    draft = RecipeDraft(
        name=RECIPE,
        extractor=ExtractorSection.of(setup.extractor.identity),
        background=BackgroundSection(
            method=background.method,
            plane_distance_m=background.plane_distance_m,
            clusters=background.clusters,
            plane=background.plane,
        ),
        score=ScoreSection(distance=setup.distance, **asdict(setup.scoring)),
        threshold=ThresholdSection(fail_at=_UNREACHED_SCORE),
        provenance=ProvenanceSection(
            made_by="import", fitted_at="", dataset="bench", precision=setup.mapping.precision
        ),
    )
    save_recipe(recipes / RECIPE, draft, setup.mapping)


def write_frames(path: Path, frames: Frames) -> None:
    """Write frames in the form that the camera reads."""
    np.savez(path, allow_pickle=False, rgb=frames.rgb.numpy(), xyz=frames.xyz.numpy())


@dataclass
class CameraProcess:
    """A running camera; use it as a context. Raises BenchError if it fails."""

    order: Order

    def __enter__(self) -> CameraProcess:
        command = [sys.executable, "-m", "cmfm_worker.bench.camera", json.dumps(asdict(self.order))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.endpoint: str = self._read()["endpoint"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate(timeout=_STOP_S)

    def go(self) -> None:
        """Let it begin; it waits for a subscriber first."""
        if self._process.stdin is not None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def sent(self) -> Sent:
        """Wait until it has sent everything."""
        return Sent(**self._read())

    @property
    def output(self) -> int:
        """File descriptor of its output, for a poller."""
        return self._process.stdout.fileno() if self._process.stdout is not None else -1

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            told = self._process.stderr.read() if self._process.stderr is not None else ""
            raise BenchError(f"the camera has ended: {told.strip()[-500:]}")
        found: dict[str, Any] = json.loads(line)
        return found
