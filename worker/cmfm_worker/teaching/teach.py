"""Teaches a recipe from good parts: extracts features once, fits both mappings, sets threshold and limits.

The validation parts pass the code path of the running line, so that a score means the same there.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

import torch

from cmfm_protocol.files.dataset import PartFiles
from cmfm_worker.cfm.extractor import Extractor
from cmfm_worker.cfm.fit.feature_store import FeatureStore
from cmfm_worker.cfm.fit.feature_store import Precision as KeptPrecision
from cmfm_worker.cfm.fit.fit import FitError, FitOptions, FitReport, fit_mapping
from cmfm_worker.cfm.fit.metric import with_metric
from cmfm_worker.cfm.mapping.pair import MappingPair
from cmfm_worker.cfm.pixel_distances import distance_of
from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.datasets.scored import ScoredPart, require_inspectable, score_parts
from cmfm_worker.datasets.source import FROM_FILES, PartSource
from cmfm_worker.errors import InputError
from cmfm_worker.inspection.inspector import Inspector
from cmfm_worker.recipes.loaded_model import LoadedModel
from cmfm_worker.recipes.recipe import Recipe, RecipeDraft
from cmfm_worker.recipes.sections import (
    ExtractorSection,
    MappingSection,
    ProvenanceSection,
)
from cmfm_worker.teaching.content_limits import content_limits
from cmfm_worker.teaching.features import TeachFeatures
from cmfm_worker.teaching.geometry import frame_section
from cmfm_worker.teaching.limits import (
    Wanted,
    compress_from,
    level_range_from,
    nominal_px_from,
    over_level,
    threshold_from,
)
from cmfm_worker.teaching.nominal_score import NominalScore, Seen
from cmfm_worker.teaching.options import TeachOptions, fit_options, limited_steps, score_section
from cmfm_worker.teaching.out_of_fold import Fold, Measured, begin_folds, out_of_fold
from cmfm_worker.teaching.tray import fixed_background
from cmfm_worker.teaching.which_parts import TeachParts
from cmfm_worker.teaching.workers import Workers, one_at_a_time, workers_for

_UNWRITTEN = "0" * 64  # placeholder for the sha256 of a mapping that is not written yet; nothing reads it


@dataclass(frozen=True, slots=True)
class Taught:
    """A recipe to be saved, its networks, the fit's report, the parts used and the scores of nominal ones.

    `model` is the same recipe as the line loads it.
    """

    draft: RecipeDraft
    mapping: MappingPair
    model: LoadedModel
    fit: FitReport
    parts: TeachParts
    nominal: tuple[NominalScore, ...]
    impossible: dict[str, int]

    @property
    def scores(self) -> tuple[float, ...]:
        """The scores of the validation parts."""
        return tuple(each.score for each in self.nominal if each.seen == "validation")


def teach(
    extractor: Extractor,
    parts: TeachParts,
    options: TeachOptions,
    name: str,
    progress: ReportProgress,
    source: PartSource = FROM_FILES,
) -> Taught:
    """Teach a recipe from chosen parts, whose prepared frames come from `source`.

    Reports the stages "extract", "fit" and "validate" to `progress`. Raises DatasetError naming an unreadable file,
    InputError naming parts that cannot be inspected or cannot be fitted on, or an option that contradicts others.
    """
    options_of_fit = fit_options(extractor.identity.preset, options)
    if options.fixed_tray:
        background = fixed_background(
            parts.train, options.background, options.batch, extractor.device, progress
        )
        options = replace(options, background=background)
    with TeachFeatures(_precision(extractor)) as features, workers_for(extractor) as workers:
        progress = one_at_a_time(progress)
        taught = features.extract(extractor, parts.train, options, options_of_fit, progress, source, workers)
        if options.epochs is None:
            options_of_fit = limited_steps(options_of_fit, len(features.nominal))
        fitted = _begin_fit(features.nominal, options_of_fit, progress, workers, extractor.device)
        folds = list[Fold]()
        if extractor.identity.preset != "paper":  # its fit takes too long to be repeated
            folds = begin_folds(features.nominal, options_of_fit, progress, workers, extractor.device)
        try:
            mapping, report = fitted.result()
        except FitError as error:
            raise InputError(f"{options.category}: {error}") from error
        if options_of_fit.metric:
            progress("metric", 0, 1)
            mapping = with_metric(mapping, *features.stores, options_of_fit)
            progress("metric", 1, 1)
        measures = [part.measures for part in taught]
        nominal_px = nominal_px_from([part.area_px for part in measures])
        draft = RecipeDraft(
            name=name,
            extractor=ExtractorSection.of(extractor.identity),
            background=options.background,
            frame=frame_section(taught),
            calibration=options.calibration,
            score=score_section(extractor.identity.preset, options, distance_of(mapping), nominal_px),
            provenance=_provenance(extractor, options, options_of_fit, report, parts.left_out),
        )
        as_on_the_line = replace(mapping, precision=options.precision)
        model = _model_of(draft, as_on_the_line)
        validated = _validate(extractor, model, parts.validation, options.batch, progress, source)
        if folds:
            features.extract_validation(extractor, parts.validation, options, progress, source)
        left_out = out_of_fold(folds, features.nominal, features.validation, mapping, draft.score)
    levels = [part.level for part in validated] + [part.level for part in left_out]
    draft, scores, left_out = _over_levels(draft, validated, left_out)
    wanted = Wanted(options.target_false_reject_rate, method=options.threshold_method)
    measures += [part.measures for part in validated]
    coverage, limits = content_limits(nominal_px, measures, levels)
    threshold = threshold_from(scores, wanted, out_of_fold=[part.score for part in left_out])
    draft = draft.model_copy(update={"threshold": threshold, "coverage": coverage, "limits": limits})
    nominal = [
        *_nominal_scores(parts.validation, scores, "validation", [as_on_the_line] * len(scores)),
        *_nominal_scores(
            parts.train, [p.score for p in left_out], "out of fold", [p.mapping for p in left_out]
        ),
    ]
    impossible = {part.id: part.points.impossible_px for part in taught}
    impossible |= {part.id: part.impossible_px for part in validated}
    return Taught(draft, mapping, _model_of(draft, as_on_the_line), report, parts, tuple(nominal), impossible)


def _begin_fit(
    features: FeatureStore,
    options: FitOptions,
    progress: ReportProgress,
    workers: Workers,
    device: torch.device,
) -> Future[tuple[MappingPair, FitReport]]:
    """Begin to fit the recipe's networks. Reports the stage "fit"; the result may be a FitError."""

    def report(done: int, total: int, *_: float) -> None:
        workers.require_running()
        progress("fit", done, total)

    return workers.submit(fit_mapping, features, options, report, device)


def _nominal_scores(
    parts: Sequence[PartFiles], scores: Sequence[float], seen: Seen, mappings: Sequence[MappingPair]
) -> list[NominalScore]:
    """Return the scores of parts in their order; `scores` is empty if no part was scored."""
    return [
        NominalScore(part, score, seen, mapping)
        for part, score, mapping in zip(parts if scores else (), scores, mappings, strict=True)
    ]


def _over_levels(
    draft: RecipeDraft, validated: Sequence[ScoredPart], folds: Sequence[Measured]
) -> tuple[RecipeDraft, list[float], list[Measured]]:
    """Return the draft with the range of nominal levels, and all scores divided by levels as the line divides them.

    The draft also gets the score from which maps are compressed. `paper`, and scores that are normalised as published,
    keep Ψ as it is.
    """
    scores = [part.score for part in validated]
    if draft.extractor.preset == "paper" or draft.score.normalisation != "absolute":
        return draft, scores, list(folds)
    levels = level_range_from([*(part.level for part in validated), *(part.level for part in folds)])
    scores = [over_level(part.score, part.level, levels) for part in validated]
    left_out = [replace(part, score=over_level(part.score, part.level, levels)) for part in folds]
    above = compress_from([*scores, *(part.score for part in left_out)])
    score = draft.score.model_copy(update={"level_range": levels, "compress_from": above})
    return draft.model_copy(update={"score": score}), scores, left_out


def _model_of(draft: RecipeDraft, mapping: MappingPair) -> LoadedModel:
    """Return a draft with its networks as the line loads them."""
    section = MappingSection.of(mapping, _UNWRITTEN)
    recipe = Recipe(**{key: getattr(draft, key) for key in RecipeDraft.model_fields}, mapping=section)
    return LoadedModel(recipe, mapping, recipe.model_sha)


def _validate(
    extractor: Extractor,
    model: LoadedModel,
    parts: Sequence[PartFiles],
    batch_size: int,
    progress: ReportProgress,
    source: PartSource,
) -> list[ScoredPart]:
    """Score the validation parts by the code path of the line."""
    scored = score_parts(
        Inspector(extractor),
        model,
        parts,
        batch=batch_size,
        stage="validate",
        progress=progress,
        source=source,
    )
    require_inspectable(scored)
    return scored


def _precision(extractor: Extractor) -> KeptPrecision:
    return "float16" if extractor.identity.preset == "paper" else "float32"


def _provenance(
    extractor: Extractor,
    options: TeachOptions,
    fitted: FitOptions,
    report: FitReport,
    left_out: tuple[str, ...],
) -> ProvenanceSection:
    return ProvenanceSection(
        made_by="fit",
        fitted_at=datetime.now(UTC).isoformat(timespec="seconds"),
        dataset=options.dataset,
        category=options.category,
        light=options.light,
        shots=options.shots,
        left_out=left_out,
        seed=options.seed,
        epochs=fitted.epochs,
        train_parts=report.parts,
        train_pixels=report.pixels,
        loss_to_2d=report.loss_2d[-1],
        loss_to_3d=report.loss_3d[-1],
        torch=torch.__version__,
        cmfm=version("cmfm"),
        device=str(extractor.device),
        precision=options.precision,
    )
