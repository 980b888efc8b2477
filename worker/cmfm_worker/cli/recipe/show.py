"""`cmfm-worker recipe show`: all facts of one recipe, for people and for the page of a threshold."""

from typing import TYPE_CHECKING, Any, Final

from cmfm_worker.cli.recipe import where

if TYPE_CHECKING:
    from cmfm_worker.recipes.recipe import Recipe
    from cmfm_worker.recipes.sections import ThresholdSection

CURVE_POINTS: Final = 101
"""Thresholds of the curve, from the lowest nominal score to half beyond the highest score or threshold."""


def show(
    name: where.NameOrVersion,
    recipes: where.Recipes = None,
    config: where.Config = None,
    json: where.AsJson = False,
) -> None:
    """Show a recipe: threshold, limits, nominal parts, and what other thresholds would mean for good parts."""
    from cmfm_worker.cli.console import print_json, show_facts

    folder, recipe = where.read(recipes, config, name)
    if json:
        from cmfm_worker.recipes.described import identity, nominal

        print_json(
            {
                "name": name,
                **identity(folder, recipe),
                "nominal": nominal(recipe),
                "false_rejects": None if recipe.threshold is None else _false_rejects(recipe.threshold),
                "recipe": recipe.model_dump(mode="json"),
            }
        )
        return
    show_facts(f"recipe {name}", _facts(recipe))


def _false_rejects(threshold: "ThresholdSection") -> dict[str, Any]:
    """Return the expected false rejects at the recipe's threshold, and over a range of thresholds."""
    scores = threshold.nominal_scores
    top = 1.5 * max([threshold.fail_at, *scores])
    low = min([threshold.fail_at, *scores])
    step = (top - low) / (CURVE_POINTS - 1)
    curve = [at(threshold, low + i * step) for i in range(CURVE_POINTS)] if scores else []
    return {"at_threshold": at(threshold, threshold.fail_at), "curve": curve}


def at(threshold: "ThresholdSection", fail_at: float) -> dict[str, Any]:
    """Return the nominal parts at or above a score, the rate expected of other good parts, and its 95 % interval."""
    from cmfm_worker.teaching.given_threshold import false_rejects

    found = false_rejects(threshold, fail_at)
    low, high = found.interval or (None, None)
    return {
        "fail_at": fail_at,
        "count": found.nominal.count,
        "of": found.nominal.of,
        "rate": found.rate,
        "low": low,
        "high": high,
    }


def in_words(figures: dict[str, Any]) -> str:
    """Return what `at` found, for people."""
    if figures["rate"] is None:
        return "unknown: the recipe has no nominal scores"
    return (
        f"about {figures['rate']:.2%} of good parts, 95 % interval {figures['low']:.2%} to {figures['high']:.2%}; "
        f"{figures['count']} of the {figures['of']} nominal parts"
    )


def _facts(recipe: "Recipe") -> list[tuple[str, str]]:
    threshold, origin = recipe.threshold, recipe.threshold.origin if recipe.threshold else None
    facts = [("model", recipe.model_sha), ("extractor", recipe.extractor.preset)]
    if threshold is None:
        facts.append(("FAIL from", "none: the line refuses the recipe"))
    else:
        grey = "no grey band" if threshold.grey_from is None else f"{threshold.grey_from:.6g}"
        facts += [
            ("FAIL from", f"{threshold.fail_at:.6g} ({threshold.method})"),
            ("UNDECIDED from", grey),
            ("false rejects", in_words(at(threshold, threshold.fail_at))),
        ]
    facts += list(recipe.limits.in_words(recipe.coverage).items())
    facts += [("frames", recipe.frame.in_words()), ("taught", recipe.provenance.fitted_at)]
    return [*facts, ("threshold set", origin.set_at)] if origin else facts
