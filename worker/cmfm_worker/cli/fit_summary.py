"""The summary of `cmfm-worker fit`, for programs and for people."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cmfm_worker.recipes.recipe import LoadedRecipe
    from cmfm_worker.recipes.sections import ExtractorSection, ScoreSection, ThresholdSection
    from cmfm_worker.teaching.teach import Taught


OTHER_RATES: Final = (0.1, 0.05, 0.02, 0.01)
"""False-reject rates whose thresholds are shown beside the chosen one."""

WORST: Final = 5
"""So many of the nominal parts with the highest scores are named: are they good?"""


def summary(taught: "Taught", loaded: "LoadedRecipe") -> dict[str, Any]:
    """Return the summary for programs: parts, pixels, losses of both networks, threshold, limits."""
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
    }


def show(taught: "Taught", loaded: "LoadedRecipe") -> None:
    """Print the summary as a table."""
    from statistics import quantiles

    from cmfm_worker.cli.console import show_facts

    recipe, report, scores = loaded.recipe, taught.fit, sorted(taught.scores)
    threshold = recipe.threshold
    cuts = quantiles(scores, n=4, method="inclusive") if len(scores) > 1 else scores * 3
    quarters = " ".join(f"{cut:.4g}" for cut in cuts)
    held_out = " (held out of the training parts)" if taught.parts.held_out else ""
    crossed = recipe.mapping.modality == "cross"
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
        *([("out of fold", f"{len(taught.out_of_fold)} training parts")] if taught.out_of_fold else []),
        ("scores of these", f"min {scores[0]:.4g}, quartiles {quarters}, max {scores[-1]:.4g}"),
    ]
    if threshold is not None:
        facts.append(("threshold", f"FAIL at score ≥ {threshold.fail_at:.6g}"))
        facts.append(("false rejects", _rates(taught)))
        facts += [(f"with {rate:.0%}", text) for rate, text in _other_rates(threshold)]
    facts.append(("frames", f"{recipe.frame.in_words()}; others are FAULTs"))
    facts += recipe.limits.in_words(recipe.coverage).items()
    facts += [("outside: UNDECIDED", recipe.limits.rate_in_words())]
    facts += [("look at these: good?", ", ".join(_worst(taught)))]
    show_facts(f"recipe {recipe.name!r}", facts)


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


def _rates(taught: "Taught") -> str:
    threshold = taught.draft.threshold
    if threshold is None or threshold.target_false_reject_rate is None:
        return "unknown"
    rate = threshold.target_false_reject_rate
    parts = threshold.validation_parts + len(threshold.out_of_fold_scores)
    if threshold.rate_interval is not None:
        low, high = threshold.rate_interval
        return (
            f"about 1 of {1 / rate:.0f} good parts will be rejected ({rate:.2%}; 95 % interval {low:.1%} to "
            f"{high:.1%}, from {parts} nominal parts)"
        )
    supported = threshold.supported_false_reject_rate or rate
    least = f"{parts} nominal parts support no rate below 1/{parts + 1} = {supported:.2%}"
    return f"expected: at most {rate:.2%} of good parts; {least}"


def _other_rates(threshold: "ThresholdSection") -> list[tuple[float, str]]:
    """Return what the threshold would be at other rates, for a threshold by the tail of nominal scores."""
    from cmfm_worker.cfm.metrics.tail import Tail

    if threshold.method != "tail":
        return []
    tail = Tail.of([*threshold.validation_scores, *threshold.out_of_fold_scores])
    least = threshold.supported_false_reject_rate or 0.0
    found = []
    for rate in OTHER_RATES:
        if rate >= least and rate != threshold.target_false_reject_rate:
            fail_at = tail.threshold(rate)
            low, high = tail.rate_interval(fail_at)
            found.append((rate, f"FAIL at score ≥ {fail_at:.4g} (95 % interval {low:.1%} to {high:.1%})"))
    return found


def _worst(taught: "Taught") -> list[str]:
    """Name the nominal parts with the highest scores, highest first."""
    named = [(part.score, part.name) for part in taught.out_of_fold]
    named += [(score, part.id) for score, part in zip(taught.scores, taught.parts.validation, strict=True)]
    return [f"{name} {score:.4g}" for score, name in sorted(named, reverse=True)[:WORST]]
