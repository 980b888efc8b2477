"""`cmfm-worker check --config line.toml`: explain a configuration without running it."""

import json as json_format
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cmfm_settings.explain import as_json, print_settings
from cmfm_worker.cli.console import on_terminal, print_row
from cmfm_worker.errors import ExitCode, InputError
from cmfm_worker.line.compute.device import choose_device, choose_precision
from cmfm_worker.line.net.curve import read_keys
from cmfm_worker.recipes.recipe import Recipe, load_recipe
from cmfm_worker.recipes.recipe_path import recipe_names, recipe_path
from cmfm_worker.recipes.sections import ScoreSection
from cmfm_worker.settings.load import load_with_sources
from cmfm_worker.settings.model import Settings


def check_line(config: Path, json: bool) -> int:
    """Validate the settings and the recipes, keys and device that they name, and explain them. Returns the exit code.

    Raises InputError for settings that cannot be used at all.
    """
    loaded = load_with_sources(config)
    settings = loaded.settings
    recipes, problems = check_recipes(settings)
    problems += key_problems(settings) + device_problems(settings)
    if json:
        report = {
            "settings": as_json(loaded),
            "recipes": {name: summary(recipe) for name, recipe in recipes.items()},
            "problems": problems,
            "remarks": remarks(settings),
        }
        Console().print_json(json_format.dumps(report))
    else:
        console = Console()
        print_settings(console, loaded, config)
        console.print()
        if recipes and on_terminal():
            console.print(recipe_table(recipes))
        elif recipes:
            print_recipes(recipes)
        for remark in remarks(settings):
            console.print(f"remark: {escape(remark)}", highlight=False, soft_wrap=True)
        for problem in problems:
            console.print(f"[red]problem:[/] {escape(problem)}", highlight=False, soft_wrap=True)
        if not problems:
            console.print("[green]This line can run.[/]")
    return int(ExitCode.BAD_INPUT if problems else ExitCode.OK)


def check_recipes(settings: Settings) -> tuple[dict[str, Recipe], list[str]]:
    """Return every recipe that the line would load, and the problems that keep it from starting."""
    recipes: dict[str, Recipe] = {}
    problems: list[str] = []
    may_be_empty = settings.recipes.may_be_empty
    if may_be_empty and not settings.recipes.names and not settings.recipes.folder.exists():
        return recipes, problems
    try:
        names = settings.recipes.names or tuple(recipe_names(settings.recipes.folder))
    except InputError as error:
        return recipes, [str(error)]
    if not names and may_be_empty:
        return recipes, problems
    if not names:
        problems.append(f"{settings.recipes.folder}: no recipes; teach one with `cmfm-worker fit`")
    for name in names:
        try:
            recipes[name] = load_recipe(recipe_path(settings.recipes.folder, name)).recipe
        except InputError as error:
            problems.append(str(error))
        else:
            problems += recipe_problems(name, recipes[name], settings)
    if settings.recipes.default and settings.recipes.default not in names:
        problems.append(f"recipes.default = {settings.recipes.default!r} is not among the recipes")
    return recipes, problems


def remarks(settings: Settings) -> list[str]:
    """Return what a reader of the table of settings should know."""
    if settings.cameras.endpoints:
        return ["sockets.frames is not used, because the cameras are under [cameras]"]
    return []


def key_problems(settings: Settings) -> list[str]:
    """Return the problems that keep the line from using its keys."""
    try:
        read_keys(settings.curve)
    except InputError as error:
        return [str(error)]
    return []


def device_problems(settings: Settings) -> list[str]:
    """Return why the device or the precision cannot be used on this machine."""
    try:
        choose_precision(settings.device.precision, choose_device(settings.device.name))
    except InputError as error:
        return [f"[device] {error}"]
    return []


def recipe_problems(name: str, recipe: Recipe, settings: Settings) -> list[str]:
    """Return the problems that keep the line from using a recipe."""
    problems = []
    if recipe.threshold is None:
        problems.append(
            f"recipe {name!r} has no threshold: it can score parts but not decide; `cmfm-worker calibrate` sets one"
        )
    folder = settings.weights.folder
    missing = [file for file in recipe.extractor.sha256 if not (folder / file).is_file()]
    return problems + [f"recipe {name!r} needs the weights file {file} in {folder}" for file in missing]


def summary(recipe: Recipe) -> dict[str, Any]:
    """Return the facts about a recipe that a person checks."""
    threshold = recipe.threshold
    return {
        "extractors": recipe.extractor.preset,
        "image_extractor": recipe.extractor.image,
        "mapping": {key: getattr(recipe.mapping, key) for key in ("architecture", "modality")},
        "score": recipe.score.model_dump(mode="json"),
        "fail_at": threshold.fail_at if threshold else None,
        "supported_false_reject_rate": threshold.supported_false_reject_rate if threshold else None,
        "coverage": recipe.coverage.model_dump(mode="json"),
        "limits": recipe.limits.model_dump(mode="json"),
        "frame": recipe.frame.model_dump(mode="json"),
        "calib_id": recipe.calibration.id,
        "fitted_at": str(recipe.provenance.fitted_at),
        "model_sha": recipe.model_sha,
    }


def score_words(score: ScoreSection) -> str:
    """Return in words how Ψ is measured and how the score is made from it."""
    highest = "maximum" if score.highest_px == 1 else f"mean of highest {score.highest_px} px"
    published = ", over √mean Ψ" if score.normalisation == "published" else ""
    return f"{score.distance} {score.aggregation}, σ {score.smoothing_px:g} px, {highest}{published}"


def recipe_table(recipes: dict[str, Recipe]) -> Table:
    """Return a table of the rules of each recipe, one fact a row."""
    table = Table(title="recipes", title_justify="left")
    for column in ("name", "fact", "value"):
        table.add_column(column, overflow="fold")
    for name, recipe in recipes.items():
        for index, (fact, value) in enumerate(facts_of(recipe).items()):
            table.add_row("" if index else name, fact, value)
        table.add_section()
    return table


def print_recipes(recipes: dict[str, Recipe]) -> None:
    """Print the same for a program: one fact a line, each with its recipe."""
    sys.stdout.write("recipes\n")
    for name, recipe in recipes.items():
        for fact, value in facts_of(recipe).items():
            print_row((name, fact, value))


def facts_of(recipe: Recipe) -> dict[str, str]:
    """Return `summary` in words."""
    facts = summary(recipe)
    fail_at, rate = facts["fail_at"], facts["supported_false_reject_rate"]
    return {
        "extractors": " ".join(filter(None, (facts["extractors"], facts["image_extractor"]))),
        "mapping": ", ".join(facts["mapping"].values()),
        "score": score_words(recipe.score),
        "FAIL at score": "none" if fail_at is None else f"{fail_at:.4f}",
        "false rejects supported": "unknown" if rate is None else f"{rate:.1%}",
        **recipe.limits.in_words(recipe.coverage),
        "outside: UNDECIDED": recipe.limits.rate_in_words(),
        "frames": recipe.frame.in_words(),
        "calib_id": facts["calib_id"] or "any",
        "taught": facts["fitted_at"][:16],
        "model": facts["model_sha"][:12],
    }
