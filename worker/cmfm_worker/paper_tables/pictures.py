"""Draws the most informative parts of a category: best and worst maps, missed and falsely rejected parts."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cmfm_protocol.pictures.panels import part_panel
from cmfm_protocol.wire.verdict import Verdict
from cmfm_worker.cfm.metrics.areas import PixelPools, UndefinedMetricError
from cmfm_worker.cfm.metrics.evaluate import GOOD
from cmfm_worker.datasets.test_split import InspectedTestPart
from cmfm_worker.inspection.decide import decide
from cmfm_worker.paper_tables.experiments import Experiment
from cmfm_worker.paper_tables.store import PICTURES
from cmfm_worker.recipes.loaded_model import LoadedModel

EACH: Final = 2
"""Number of pictures of each sort."""

TILE_PX: Final = 220
_OVERLAP_LIMIT: Final = 0.3


@dataclass(frozen=True, slots=True)
class _Judged:
    """A part with its verdict and the fit of its map to the ground truth (its AUPRO@30%; None for a good part)."""

    part: InspectedTestPart
    verdict: str
    reason: str
    overlap: float | None

    @property
    def defective(self) -> bool:
        return self.part.files.defect != GOOD


def telling_pictures(
    experiment: Experiment, parts: Sequence[InspectedTestPart], model: LoadedModel
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Choose parts to show. Returns them with the reason, as plain values for JSON, and their PNG files by path."""
    judged = [_judge(part, model) for part in parts]
    shown, files = [], {}
    for why, chosen in _chosen(judged):
        for one in chosen:
            name = f"{PICTURES}/{experiment.category}/{one.part.files.id}.png"
            files[name] = _panel(one, model)
            shown.append(
                {
                    "why": why,
                    "file": name,
                    "id": one.part.files.id,
                    "defect": one.part.files.defect,
                    "score": one.part.found.score,
                    "verdict": one.verdict,
                    "overlap": one.overlap,
                }
            )
    return shown, files


def _judge(part: InspectedTestPart, model: LoadedModel) -> _Judged:
    found = part.found
    verdict, reason, _ = map(str, decide(found.score, found.level, found.measures, model.recipe))
    try:
        overlap = PixelPools([part.found.psi], [part.gt]).aupro_exact([_OVERLAP_LIMIT])[0]
    except UndefinedMetricError:
        return _Judged(part, verdict, reason, None)
    return _Judged(part, verdict, reason, overlap)


def _chosen(judged: Sequence[_Judged]) -> list[tuple[str, list[_Judged]]]:
    """Choose the extremes of the maps, then the wrong verdicts."""
    with_defect = [one for one in judged if one.overlap is not None]
    missed = [one for one in judged if one.defective and one.verdict == Verdict.PASS]
    rejected = [one for one in judged if not one.defective and one.verdict != Verdict.PASS]
    return [
        ("best map", _first(with_defect, lambda one: -(one.overlap or 0.0))),
        ("worst map", _first(with_defect, lambda one: one.overlap or 0.0)),
        ("missed", _first(missed, lambda one: one.part.found.score)),
        ("falsely rejected", _first(rejected, lambda one: -one.part.found.score)),
    ]


def _first(judged: Sequence[_Judged], key: Callable[[_Judged], float]) -> list[_Judged]:
    return sorted(judged, key=key)[:EACH]


def _panel(one: _Judged, model: LoadedModel) -> bytes:
    found, threshold = one.part.found, model.recipe.threshold
    picture = part_panel(
        found.rgb,
        found.depth,
        found.psi_2d,
        found.psi_3d,
        found.psi_as_scored,
        threshold=threshold.fail_at if threshold else None,
        title=one.part.files.id,
        verdict=one.verdict,
        score=found.score,
        foreground=found.foreground,
        reason=one.reason,
        tile_px=TILE_PX,
    )
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
