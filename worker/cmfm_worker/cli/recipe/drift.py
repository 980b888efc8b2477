"""`cmfm-worker recipe drift`: how the line compares the last parts with the nominal ones, and what it does then."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cmfm_worker.cli import options
from cmfm_worker.cli.recipe import where

if TYPE_CHECKING:
    from cmfm_worker.recipes.drift_section import DriftSection
    from cmfm_worker.recipes.recipe import Recipe


def drift(
    name: where.Name,
    act: Annotated[
        Literal["off", "alarm", "undecided"] | None,
        typer.Option(
            help="alarm: log and metrics say so. undecided: in addition no part PASSes. Default: as it is.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(metavar="PSI", help="Population stability index of a drift.", show_default=False),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(metavar="N", help="So many of the last parts are compared.", show_default=False),
    ] = None,
    least_parts: Annotated[
        int | None, typer.Option(metavar="N", help="With fewer parts nothing is said.", show_default=False)
    ] = None,
    by: options.By = None,
    why: options.Why = "",
    recipes: where.Recipes = None,
    config: where.Config = None,
    json: where.AsJson = False,
) -> None:
    """Show or change the section [drift] of a recipe (docs/calibration.md, drift).

    Without an option nothing changes. The recipe before is kept as a version. A running line uses the section after
    the control request `load_recipe`.
    """
    from cmfm_records.recipe_versions import read_versions
    from cmfm_worker.cli.console import print_json, remark, show_facts
    from cmfm_worker.recipes.described import identity
    from cmfm_worker.recipes.folder import replace_recipe_file
    from cmfm_worker.recipes.recipe import read_recipe_file
    from cmfm_worker.recipes.versions import changing, this_user

    folder = where.recipe_folder(recipes, config, name)
    recipe = read_recipe_file(folder)
    asked = {"act": act, "limit": limit, "window": window, "least_parts": least_parts}
    given = {key: value for key, value in asked.items() if value is not None}
    section = _section(recipe, given)
    number = None
    if given:
        with changing(folder, by or this_user(), why or f"drift: {section.act}"):
            changed = recipe.model_copy(update={"drift": section})
            replace_recipe_file(folder, identity(folder, recipe)["recipe_sha"], changed)
        number = read_versions(folder)[-1].version
    figures = {
        "name": name,
        "version": number,
        **section.model_dump(),
        "measures": _measures(recipe, section),
    }
    if json:
        print_json(figures)
        return
    facts = [(key, str(value)) for key, value in section.model_dump().items()]
    show_facts(f"drift of recipe {name}", [*facts, *_in_words(figures["measures"])])
    if number is not None:
        remark(f"{folder}: written as version {number}; a running line needs `load_recipe`")


def _section(recipe: "Recipe", given: dict[str, Any]) -> "DriftSection":
    """Return the recipe's section with the given keys replaced. Raises InputError naming a wrong one."""
    from pydantic import ValidationError

    from cmfm_settings.error_messages import describe_validation_error
    from cmfm_worker.errors import InputError
    from cmfm_worker.recipes.drift_section import DriftSection

    try:
        return DriftSection.model_validate(recipe.drift.model_dump() | given)
    except ValidationError as error:
        raise InputError("\n".join(describe_validation_error(error, DriftSection, "options"))) from error


def _measures(recipe: "Recipe", section: "DriftSection") -> dict[str, Any]:
    """Return for each measure its nominal parts in bins and the limit with a full window; None without a reference."""
    from cmfm_records.nominal import Reference, drift_limit

    nominal = {
        "score": recipe.threshold.nominal_scores if recipe.threshold else (),
        "coverage": recipe.coverage.nominal,
    }
    found: dict[str, Any] = {}
    for measure, values in nominal.items():
        reference = Reference.of(values)
        found[measure] = reference and {
            "nominal_parts": reference.parts,
            "edges": list(reference.edges),
            "counts": list(reference.counts),
            "limit": drift_limit(section.limit, len(reference.counts), reference.parts, section.window),
        }
    return found


def _in_words(measures: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            measure,
            "not compared: too few nominal parts, or all equal"
            if found is None
            else f"{found['nominal_parts']} nominal parts in {len(found['counts'])} bins, drift from PSI "
            f"{found['limit']:.2f}",
        )
        for measure, found in measures.items()
    ]
