"""`cmfm-worker recipe compare`: the differences of two recipes or versions."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cmfm_worker.cli.recipe import where

if TYPE_CHECKING:
    from cmfm_worker.recipes.recipe import Recipe


def compare(
    a: where.NameOrVersion,
    b: Annotated[
        str,
        typer.Argument(metavar="OTHER[@N]", help="Another recipe, or a version of one.", show_default=False),
    ],
    recipes: where.Recipes = None,
    config: where.Config = None,
    json: where.AsJson = False,
) -> None:
    """Compare two recipes, or two versions of one: settings, threshold and nominal scores.

    Scores of two recipes can be compared only if their models are the same.
    """
    from cmfm_worker.cli.console import print_json, show_table
    from cmfm_worker.recipes.compared import differences
    from cmfm_worker.recipes.described import identity, nominal

    sides = {"a": (a, *where.read(recipes, config, a)), "b": (b, *where.read(recipes, config, b))}
    (one, other) = (recipe for _, _, recipe in sides.values())
    found = differences(one, other)
    if json:
        facts = {
            side: {"name": name, **identity(folder, recipe), "nominal": nominal(recipe)}
            for side, (name, folder, recipe) in sides.items()
        }
        same = one.model_sha == other.model_sha
        print_json({**facts, "same_model": same, "differences": [asdict(each) for each in found]})
        return
    rows = [[each.key, _text(each.a), _text(each.b)] for each in found]
    rows += [["nominal scores", _scores(one), _scores(other)]]
    show_table(f"{a} and {b}", ["", a, b], rows)


def _text(value: object) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _scores(recipe: "Recipe") -> str:
    """Return number, median and highest of the nominal scores."""
    from statistics import median

    scores = recipe.threshold.nominal_scores if recipe.threshold else ()
    if not scores:
        return "none"
    return f"{len(scores)} parts, median {median(scores):.4g}, highest {max(scores):.4g}"
