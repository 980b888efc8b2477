"""`cmfm-worker recipe threshold`: sets a threshold that a person chose."""

import math
from typing import Annotated

import typer

from cmfm_worker.cli import options
from cmfm_worker.cli.recipe import where


def threshold(
    name: where.Name,
    fail_at: Annotated[
        float,
        typer.Option(metavar="SCORE", help="A part with at least this score FAILs.", show_default=False),
    ],
    grey_from: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="A part with at least this score, below --fail-at, is UNDECIDED. Default: no grey band.",
            show_default=False,
        ),
    ] = None,
    by: options.By = None,
    why: options.Why = "",
    if_sha: Annotated[
        str | None,
        typer.Option(
            metavar="SHA256",
            help="Change nothing unless recipe.toml still has this SHA-256, because somebody else may have changed it.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would mean, but change nothing.")
    ] = False,
    collected: where.Collected = None,
    recipes: where.Recipes = None,
    config: where.Config = None,
    json: where.AsJson = False,
) -> None:
    """Set the threshold of a recipe, and say what it means for good parts.

    Networks, limits and nominal scores stay, so no part is computed. The recipe before is kept as a version
    (`recipe restore`). A running line uses the threshold after the control request `load_recipe`.
    """
    for option, score in (("--fail-at", fail_at), ("--grey-from", grey_from)):
        if score is not None and not math.isfinite(score):
            raise typer.BadParameter("must be a finite number", param_hint=option)
    if grey_from is not None and grey_from >= fail_at:
        raise typer.BadParameter(f"must lie below --fail-at {fail_at:g}", param_hint="--grey-from")
    from cmfm_records.recipe_versions import read_versions
    from cmfm_worker.cli.console import print_json, remark, show_facts
    from cmfm_worker.cli.recipe.labelled import labelled_facts, labelled_figures
    from cmfm_worker.cli.recipe.show import at, in_words
    from cmfm_worker.errors import InputError
    from cmfm_worker.recipes.described import identity
    from cmfm_worker.recipes.folder import replace_recipe_file
    from cmfm_worker.recipes.recipe import read_recipe_file
    from cmfm_worker.recipes.versions import changing, this_user
    from cmfm_worker.teaching.given_threshold import given_threshold

    folder = where.recipe_folder(recipes, config, name)
    recipe = read_recipe_file(folder)
    before = identity(folder, recipe)
    if if_sha is not None and if_sha != before["recipe_sha"]:
        raise InputError(
            f"recipe {name!r} has changed since: its recipe.toml has sha256 {before['recipe_sha'][:12]}…, not "
            f"{if_sha[:12]}…; look at it again"
        )
    given = given_threshold(recipe, fail_at, grey_from)
    figures = at(given, fail_at)
    labelled = labelled_figures(where.collected_folder(collected, config), name, recipe, given)
    number = None
    if not dry_run:
        with changing(folder, by or this_user(), why or f"threshold {fail_at:.6g}"):
            changed = recipe.model_copy(update={"threshold": given})
            replace_recipe_file(folder, before["recipe_sha"], changed)
        number = read_versions(folder)[-1].version
    if json:
        after = before if dry_run else identity(folder, read_recipe_file(folder))
        print_json(
            {
                "name": name,
                "version": number,
                "before": before,
                "after": after,
                "false_rejects": figures,
                "labelled": labelled,
            }
        )
        return
    show_facts(
        f"threshold of recipe {name}",
        [
            ("FAIL from", f"{before['fail_at']:.6g} → {fail_at:.6g}"),
            ("UNDECIDED from", f"{_grey(before['grey_from'])} → {_grey(grey_from)}"),
            ("false rejects", in_words(figures)),
            *labelled_facts(labelled),
        ],
    )
    if dry_run:
        remark("dry run: nothing changed")
    else:
        remark(f"{folder}: written as version {number}; a running line needs `load_recipe`")


def _grey(score: float | None) -> str:
    return "no grey band" if score is None else f"{score:.6g}"
