"""`cmfm-worker evaluate --recipe`: computes the paper's metrics on a test split and counts the line's verdicts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmfm_protocol.files.part_files import XyzUnit
from cmfm_worker.cli import options
from cmfm_worker.errors import InputError

LIMITS = ("0.3", "0.1", "0.05", "0.01")


@dataclass(frozen=True, slots=True)
class RecipeTrial:
    """A recipe, the test split to measure it on and the options; `prepared` is a folder of `cmfm-worker prepare`."""

    recipe: Path
    root: Path
    category: str
    dataset: options.Layout
    light: int
    xyz_unit: XyzUnit
    prepared: Path | None
    json_file: Path | None
    weights: Path | None
    device: str
    precision: options.ProductPrecision
    batch: int


def evaluate_recipe(trial: RecipeTrial) -> None:
    """Measure the recipe, print the figures, and write them to the JSON file if one is given."""
    from cmfm_protocol.files.dataset import check_ground_truths, in_unit, list_parts
    from cmfm_protocol.files.outputs import require_writable_files
    from cmfm_worker.cfm.metrics.evaluate import evaluate as figures_of
    from cmfm_worker.cli.console import progress_bars, remark, remark_impossible
    from cmfm_worker.datasets.cache.store import source_of
    from cmfm_worker.datasets.test_split import Tally, split_outcomes
    from cmfm_worker.inspection.inspector import Inspector
    from cmfm_worker.line.compute.device import choose_device, choose_precision
    from cmfm_worker.recipes.extractors import extractor_of
    from cmfm_worker.recipes.loaded_model import LoadedModel
    from cmfm_worker.recipes.recipe import load_recipe
    from cmfm_worker.teaching.nominal_parts import other_light

    require_writable_files(trial.json_file)
    loaded = load_recipe(trial.recipe)
    parts = list_parts(trial.root, trial.category, "test", trial.dataset, light=trial.light)
    parts = in_unit(parts, trial.xyz_unit)
    for text in check_ground_truths(parts):
        remark(text)
    on = choose_device(trial.device)
    products = choose_precision(trial.precision, on)
    source = source_of(trial.prepared, parts, loaded.recipe.background.options(), on)
    inspector = Inspector(extractor_of(loaded.recipe, trial.weights, on, products))
    inspector.require_match(loaded.recipe)
    if trial.dataset == "eyecandies":
        for text in other_light(loaded.recipe, trial.light):
            remark(text)
    tally = Tally()
    with progress_bars({"test": "inspecting"}) as progress:
        model = LoadedModel.of(loaded, on, products)
        found = split_outcomes(inspector, model, parts, trial.batch, tally, progress, source)
        figures = figures_of(found, loaded.recipe.score.normalisation)
    figures |= tally.as_figures() | {
        "recipe": loaded.recipe.name,
        "model_sha": loaded.model_sha,
        "dataset": trial.dataset,
        "category": trial.category,
        "light": trial.light if trial.dataset == "eyecandies" else None,
        "score_normalisation": loaded.recipe.score.normalisation,
        "score_highest_px": loaded.recipe.score.highest_px,
        "device": str(on),
        "prepared": trial.prepared is not None,
    }
    remark_impossible(tally.impossible)
    if tally.other_geometry:
        name, why = next(iter(tally.other_geometry.items()))
        remark(
            f"{len(tally.other_geometry)} parts would be FAULTs on the line (other_geometry); {name}: {why}"
        )
    for name, why in tally.not_inspected.items():
        remark(f"not inspected: {name}: {why}")
    for name, why in tally.torn.items():
        remark(f"torn: {name}: {why}")
    if trial.json_file is not None:
        write_json(trial.json_file, figures)
    show(figures)


def write_json(path: Path, figures: dict[str, Any]) -> None:
    """Write the figures. Raises InputError if the file cannot be written."""
    try:
        path.write_text(json.dumps(figures, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables."""
    from cmfm_worker.cli.console import show_facts, show_table

    facts = [
        ("parts", _counted(figures)),
        (
            "frames/s, already prepared" if figures["prepared"] else "frames/s",
            _number(figures["fps"], "{:.1f}"),
        ),
        ("I-AUROC", _number(figures["i_auroc"])),
        ("P-AUROC", _number(figures["p_auroc"])),
    ]
    if "verdicts" in figures:
        counted = ", ".join(f"{count} {verdict}" for verdict, count in figures["verdicts"].items())
        facts += [
            ("verdicts", counted),
            ("reasons", ", ".join(f"{count} {reason}" for reason, count in figures["reasons"].items())),
            ("escapes", str(figures["escapes"])),
            ("false rejects", str(figures["false_rejects"])),
        ]
    show_facts(f"recipe {figures['recipe']!r} on {figures['category']}", facts)
    names = {"aupro": "exact", "aupro_99": "99 thresholds", "aupro_foreground": "exact, foreground"}
    rows = [[name, *(_number(figures[key][limit]) for limit in LIMITS)] for key, name in names.items()]
    show_table("AUPRO up to a false-positive rate of", ["", *LIMITS], rows)
    kinds = figures["per_defect"].items()
    columns = ("i_auroc", "aupro", "aupro_foreground")
    rows = [[kind, *(_number(of[column]) for column in columns)] for kind, of in kinds]
    show_table("kind of defect", ["kind", "I-AUROC", "AUPRO@0.3", "AUPRO@0.3, foreground"], rows)


def _counted(figures: dict[str, Any]) -> str:
    torn = f", {len(figures['torn'])} torn" if figures["torn"] else ""
    return f"{figures['frames']} inspected, {len(figures['not_inspected'])} not{torn}"


def _number(value: float | None, form: str = "{:.4f}") -> str:
    return "-" if value is None else form.format(value)
