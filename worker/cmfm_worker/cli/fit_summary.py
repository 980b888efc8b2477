"""The summary of `cmfm-worker fit`, for programs and for people."""

from typing import TYPE_CHECKING, Any

from cmfm_worker.cli.closing_page import FIGURES, PAGE
from cmfm_worker.recipes.folder import REPORT_FOLDER

if TYPE_CHECKING:
    from cmfm_worker.recipes.recipe import LoadedRecipe
    from cmfm_worker.recipes.sections import ExtractorSection, ScoreSection
    from cmfm_worker.teaching.closing import Closing
    from cmfm_worker.teaching.teach import Taught


def summary(taught: "Taught", loaded: "LoadedRecipe", closing: "Closing") -> dict[str, Any]:
    """Return the summary for programs: parts, pixels, losses, threshold, limits, parts to look at."""
    recipe, report = loaded.recipe, taught.fit
    return {
        "recipe": str(loaded.folder),
        "model_sha": loaded.model_sha,
        "extractor": recipe.extractor.model_dump(mode="json"),
        "architecture": recipe.mapping.architecture,
        "modality": recipe.mapping.modality,
        "aggregation": recipe.score.aggregation,
        "smoothing_px": recipe.score.smoothing_px,
        "highest_px": recipe.score.highest_px,
        "train_parts": report.parts,
        "train_pixels": report.pixels,
        "epochs": len(report.loss_2d),
        "seconds": report.seconds,
        "loss_to_2d": report.loss_2d[-1],
        "loss_to_3d": report.loss_3d[-1],
        "held_out": taught.parts.held_out,
        "threshold": recipe.threshold.model_dump(mode="json") if recipe.threshold else None,
        "frame": recipe.frame.model_dump(mode="json"),
        "impossible_points": {name: px for name, px in taught.impossible.items() if px},
        "coverage": recipe.coverage.model_dump(mode="json"),
        "limits": recipe.limits.model_dump(mode="json"),
        "left_out": list(taught.parts.left_out),
        "report": str(loaded.folder / REPORT_FOLDER / FIGURES),
        "mislabelled_or_rare": [each.name for each in closing.suspects.parts],
    }


def show(taught: "Taught", loaded: "LoadedRecipe", closing: "Closing") -> None:
    """Print the summary as tables."""
    from statistics import quantiles

    from cmfm_worker.cli.closing_tables import rates_in_words, show_closing, suspects_summary
    from cmfm_worker.cli.console import show_facts
    from cmfm_worker.teaching.trade_off import trade_offs

    recipe, report, scores = loaded.recipe, taught.fit, sorted(taught.scores)
    threshold = recipe.threshold
    cuts = quantiles(scores, n=4, method="inclusive") if len(scores) > 1 else scores * 3
    quarters = " ".join(f"{cut:.4g}" for cut in cuts)
    held_out = " (held out of the training parts)" if taught.parts.held_out else ""
    crossed = recipe.mapping.modality == "cross"
    folds = len(taught.nominal) - len(scores)
    to_2d, to_3d = ("3D→2D", "2D→3D") if crossed else ("2D→2D", "3D→3D")
    facts = [
        ("recipe", str(loaded.folder)),
        ("extractors", _extractors(recipe.extractor)),
        ("fitted on", f"{report.parts} parts, {report.pixels} pixels"),
        ("fitting", f"{len(report.loss_2d)} epochs in {report.seconds:.1f} s"),
        ("mapping", f"{recipe.mapping.architecture}, {recipe.mapping.modality}"),
        ("distance", recipe.score.distance),
        ("aggregation", recipe.score.aggregation),
        ("smoothing", f"σ = {recipe.score.smoothing_px:g} pixels"),
        ("score", _scoring(recipe.score)),
        (f"loss {to_2d}", f"{report.loss_2d[0]:.4f} → {report.loss_2d[-1]:.4f}"),
        (f"loss {to_3d}", f"{report.loss_3d[0]:.4f} → {report.loss_3d[-1]:.4f}"),
        ("validated on", f"{len(scores)} good parts{held_out}"),
        *([("out of fold", f"{folds} training parts")] if folds else []),
        ("scores of these", f"min {scores[0]:.4g}, quartiles {quarters}, max {scores[-1]:.4g}"),
    ]
    if threshold is not None:
        facts.append(("threshold", f"FAIL at score ≥ {threshold.fail_at:.6g}"))
        points = trade_offs(threshold, closing.trial)
        facts.append(("false rejects", rates_in_words(threshold, points)))
    facts.append(("frames", f"{recipe.frame.in_words()}; others are FAULTs"))
    facts += recipe.limits.in_words(recipe.coverage).items()
    facts += [("outside: UNDECIDED", recipe.limits.rate_in_words())]
    facts.append(("mislabelled parts", suspects_summary(closing)))
    if taught.parts.left_out:
        facts.append(("left out", ", ".join(taught.parts.left_out)))
    facts.append(("report", str(loaded.folder / REPORT_FOLDER / PAGE)))
    show_facts(f"recipe {recipe.name!r}", facts)
    show_closing(closing)


def _extractors(section: "ExtractorSection") -> str:
    name = f"{section.preset} (version {section.version})"
    if section.preset != "paper":
        return name
    return f"{name}, {section.image}, {section.blocks} blocks, {section.group_size} points a group"


def _scoring(section: "ScoreSection") -> str:
    of = "Ψ" if section.normalisation == "absolute" else "Ψ/√mean Ψ"
    return (
        f"maximum of {of}"
        if section.highest_px == 1
        else f"mean of the {section.highest_px} highest pixels of {of}"
    )
