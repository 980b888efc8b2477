"""`cmfm-worker recipe versions`: who changed a recipe, when and why."""

from cmfm_worker.cli.recipe import where


def list_versions(
    name: where.Name,
    recipes: where.Recipes = None,
    config: where.Config = None,
    json: where.AsJson = False,
) -> None:
    """List the versions of a recipe, oldest first; the one in use is marked.

    A recipe that was edited by hand is no version until the next change.
    """
    from cmfm_records.recipe_versions import read_versions
    from cmfm_worker.cli.console import print_json, show_table
    from cmfm_worker.recipes.described import in_use

    folder = where.recipe_folder(recipes, config, name)
    known = read_versions(folder)
    now = in_use(folder, known)
    if json:
        print_json({"name": name, "in_use": now, "versions": [version.row() for version in known]})
        return
    rows = [
        [
            f"{'* ' if each.version == now else ''}{each.version}",
            each.at,
            each.by or "-",
            "none" if each.fail_at is None else f"{each.fail_at:.6g}",
            each.model_sha[:12],
            each.why if each.kept else f"{each.why} (files not kept)",
        ]
        for each in known
    ]
    show_table(f"versions of {name}", ["version", "at", "by", "FAIL from", "model", "why"], rows)
