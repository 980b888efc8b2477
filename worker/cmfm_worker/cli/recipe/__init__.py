"""`cmfm-worker recipe`: looks at the recipes of a line, changes a threshold, undoes changes, and passes recipes on.

In: a folder of recipes (of the line's settings, or given), a recipe's name. Out: tables, or one JSON object on stdout
(docs/page.md, recipes). No command here computes a part; `import` alone loads torch, to check the networks.
A running line notices nothing until the control request `load_recipe`. Each command runs in the main thread.
"""

import typer

from cmfm_worker.cli.recipe import compare, drift, export, import_, list_, restore, show, threshold, versions

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="List, compare and change the recipes of a line, and undo changes.\n\n"
    "NAME is a recipe in the folder of recipes; NAME@3 is its version 3, where a command only reads. A running line "
    "uses a changed recipe after the control request `load_recipe`. Each change keeps the recipe before it as a "
    "version.",
)
app.command("list")(list_.list_recipes)
app.command("show")(show.show)
app.command("versions")(versions.list_versions)
app.command("compare")(compare.compare)
app.command("threshold")(threshold.threshold)
app.command("drift")(drift.drift)
app.command("restore")(restore.restore)
app.command("export")(export.export)
app.command("import")(import_.import_)
