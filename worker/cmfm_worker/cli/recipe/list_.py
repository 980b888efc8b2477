"""`cmfm-worker recipe list`: the recipes in a folder."""

from cmfm_worker.cli.recipe import where


def list_recipes(
    recipes: where.Recipes = None, config: where.Config = None, json: where.AsJson = False
) -> None:
    """List the recipes with threshold, model and version; one that cannot be used says why."""
    from cmfm_worker.cli.console import print_json, show_table
    from cmfm_worker.recipes.described import listed
    from cmfm_worker.recipes.recipe_path import recipe_names

    folder = where.recipes_folder(recipes, config)
    found = [listed(folder / name) for name in recipe_names(folder)]
    if json:
        print_json({"recipes": found})
        return
    show_table(
        f"recipes in {folder}",
        ["name", "FAIL from", "nominal parts", "model", "version"],
        [_row(one) for one in found],
    )


def _row(one: dict[str, object]) -> list[str]:
    if one["problem"] is not None:
        return [str(one["name"]), str(one["problem"]), "", "", ""]
    fail_at = one["fail_at"]
    version = "not recorded" if one["version"] is None else f"{one['version']} of {one['versions']}"
    return [
        str(one["name"]),
        f"{fail_at:.6g}" if isinstance(fail_at, float) else "none",
        str(one["nominal_parts"]),
        str(one["model_sha"])[:12],
        version,
    ]
