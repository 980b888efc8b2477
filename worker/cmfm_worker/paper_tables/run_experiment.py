"""Runs one experiment: teaches, inspects the test split, and measures every map that the tables need."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cmfm_protocol.files.dataset import in_unit, list_parts
from cmfm_worker.bench.provenance import provenance
from cmfm_worker.cfm.anomaly_maps import aggregate
from cmfm_worker.cfm.anomaly_score import score
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.metrics.evaluate import GOOD, FrameOutcome, evaluate, psi_for_aupro
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.cfm.variants import Aggregation
from cmfm_worker.datasets.cache.store import source_of
from cmfm_worker.datasets.test_split import InspectedTestPart, Tally, inspect_split
from cmfm_worker.inspection.decide import decide
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.paper_tables.curves import pro_curve, roc_curve
from cmfm_worker.paper_tables.experiments import MAIN, Experiment, ExperimentSettings, RunOptions
from cmfm_worker.paper_tables.pictures import telling_pictures
from cmfm_worker.paper_tables.speed import measure_speed
from cmfm_worker.paper_tables.store import RECIPES, ExperimentResult
from cmfm_worker.recipes.extractors import build_extractor
from cmfm_worker.recipes.folder import save_recipe
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import LoadedRecipe
from cmfm_worker.recipes.sections import ScoreSection
from cmfm_worker.teaching.options import TeachOptions
from cmfm_worker.teaching.teach import Taught, teach
from cmfm_worker.teaching.which_parts import TeachParts, choose_parts


def extractor_for(settings: ExperimentSettings, options: RunOptions, device: torch.device) -> Extractor:
    """Build the extractor that an experiment needs. Raises InputError naming missing weights."""
    if settings.preset == "classic":
        return build_extractor("classic", None, device=device)
    return build_extractor(
        settings.preset,
        options.weights,
        image=settings.image,
        blocks=settings.blocks,
        group_size=settings.group_size,
        device=device,
        precision=options.precision,
    )


def run_experiment(
    experiment: Experiment, options: RunOptions, extractor: Extractor, progress: ReportProgress
) -> ExperimentResult:
    """Teach and measure. Raises DatasetError or InputError naming files or parts that cannot be used."""
    taught = _taught(experiment, options, extractor, progress)
    inspector, tally = Inspector(extractor), Tally()
    test = list_parts(options.root, experiment.category, "test", options.dataset, light=options.light)
    test = in_unit(test, options.xyz_unit)
    with tempfile.TemporaryDirectory(prefix="cmfm-experiment-") as scratch:
        loaded = save_recipe(
            Path(scratch) / f"{experiment.category}-{experiment.name}", taught.draft, taught.mapping
        )
        files = _recipe_files(loaded) if experiment.name == MAIN else {}
    model = LoadedModel.of(loaded, extractor.device, options.precision)
    speed = measure_speed(inspector, model, test, options.batch)
    source = source_of(options.prepared, test, options.background.options(), extractor.device)
    parts = list(inspect_split(inspector, model, test, options.batch, tally, progress, source))
    figures = {
        "metrics": {a: _metrics(parts, a, loaded.recipe.score) for a in experiment.aggregations},
        "fps": speed.fps if speed else None,
        "memory_mb": speed.memory_mb if speed else None,
        "fit": _fit_figures(taught),
        "parts": [_part_figures(part, model) for part in parts],
        **tally.as_figures(),
        "provenance": provenance([str(extractor.device)]),
    }
    if experiment.name == MAIN:
        shown, pictures = telling_pictures(experiment, parts, model)
        figures["pictures"], files = shown, {**files, **pictures}
    return ExperimentResult(figures, files)


def _taught(
    experiment: Experiment, options: RunOptions, extractor: Extractor, progress: ReportProgress
) -> Taught:
    settings = experiment.settings
    parts = choose_experiment_parts(experiment, options)
    source = source_of(
        options.prepared, [*parts.train, *parts.validation], options.background.options(), extractor.device
    )
    how = TeachOptions(
        dataset=options.root.resolve().name,
        category=experiment.category,
        light=options.light if options.dataset == "eyecandies" else None,
        shots=settings.shots,
        seed=settings.seed,
        epochs=settings.epochs,
        pixels_per_image=settings.pixels_per_image,
        architecture=settings.architecture,
        modality=settings.modality,
        normalisation=settings.normalisation,
        background=options.background,
        precision=options.precision,
        batch=options.batch,
    )
    return teach(extractor, parts, how, f"{experiment.category}-{experiment.name}", progress, source)


def choose_experiment_parts(experiment: Experiment, options: RunOptions) -> TeachParts:
    """Choose the parts to fit on and to set the threshold from. Raises InputError or DatasetError."""
    return choose_parts(
        options.root,
        experiment.category,
        shots=experiment.settings.shots,
        seed=experiment.settings.seed,
        target_false_reject_rate=None,
        layout=options.dataset,
        light=options.light,
    ).in_unit(options.xyz_unit)


def _metrics(
    parts: Sequence[InspectedTestPart], aggregation: Aggregation, how: ScoreSection
) -> dict[str, Any]:
    """Compute the figures of `evaluate` and both curves from one map of every part."""
    normalisation = how.normalisation
    maps = [_psi(part, aggregation, how) for part in parts]
    scores = [float(score(torch.from_numpy(psi)[None], normalisation, how.highest_px)) for psi in maps]
    outcomes = [
        FrameOutcome(psi, value, part.gt, part.files.defect, part.found.foreground)
        for psi, value, part in zip(maps, scores, parts, strict=True)
    ]
    figures = evaluate(outcomes, normalisation, seconds=0.0)
    del figures["fps"]
    scaled = [psi_for_aupro(psi, normalisation) for psi in maps]
    return figures | {
        "scores": [round(value, 6) for value in scores],
        "pro_curve": pro_curve(scaled, [part.gt for part in parts]),
        "roc_curve": roc_curve(scores, [part.files.defect != GOOD for part in parts]),
    }


def _psi(part: InspectedTestPart, aggregation: Aggregation, how: ScoreSection) -> NDArray[np.float32]:
    if aggregation == how.aggregation:
        return part.found.psi
    psi_2d, psi_3d = (torch.from_numpy(psi)[None] for psi in (part.found.psi_2d, part.found.psi_3d))
    psi = aggregate(psi_2d, psi_3d, aggregation, how.smoothing_px, continue_map=how.continue_map)
    of_part: NDArray[np.float32] = psi[0].numpy()
    return of_part


def _fit_figures(taught: Taught) -> dict[str, Any]:
    report, threshold = taught.fit, taught.draft.threshold
    return {
        "parts": report.parts,
        "pixels": report.pixels,
        "epochs": len(report.loss_2d),
        "seconds": round(report.seconds, 3),
        "loss_to_2d": report.loss_2d[-1],
        "loss_to_3d": report.loss_3d[-1],
        "threshold": threshold.fail_at if threshold else None,
        "validation_scores": list(taught.scores),
    }


def _part_figures(part: InspectedTestPart, model: LoadedModel) -> dict[str, Any]:
    found = part.found
    verdict = decide(found.score, found.level, found.measures, model.recipe).verdict
    return {
        "id": part.files.id,
        "defect": part.files.defect,
        "score": found.score,
        "verdict": str(verdict),
    }


def _recipe_files(loaded: LoadedRecipe) -> dict[str, bytes]:
    folder = loaded.folder
    return {f"{RECIPES}/{folder.name}/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}
