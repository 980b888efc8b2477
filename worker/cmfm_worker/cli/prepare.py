"""`cmfm-worker prepare`: frames of a data set made ready once, for any number of fits and evaluations."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmfm_worker.cli import options

if TYPE_CHECKING:
    from cmfm_protocol.files.dataset import PartFiles
    from cmfm_worker.datasets.cache.fill import Filled
    from cmfm_worker.recipes.sections import BackgroundSection


def prepare(
    root: options.Root,
    out: Annotated[
        Path, typer.Option(help="Folder of prepared parts, to be made or completed.", show_default=False)
    ],
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category", help="Category; give it again for several. Default: all.", show_default=False
        ),
    ] = None,
    dataset: options.Dataset = "mvtec3d",
    light: options.Light = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            help="Take the background options of this recipe, a taught tray included.",
            show_default=False,
        ),
    ] = None,
    background: options.BackgroundOverride = None,
    plane_distance_m: options.PlaneDistanceOverride = None,
    clusters: options.ClustersOverride = None,
    device: options.Device = "auto",
    batch: options.Batch = 4,
    force: Annotated[
        bool, typer.Option("--force", help="Prepare anew what was prepared in another way.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, not as a table.")] = False,
) -> None:
    """Square, resize and free from its tray every part of a data set, once.

    `fit` and `evaluate` take the folder with --prepared and give the same results as without it, bit for bit.
    They refuse it where it does not fit: other background options, another kind of device, another version of
    the program, files that have changed since.

    May be interrupted; run again it goes on, and prepares anew only parts whose files have changed. Parts that
    cannot be read are named, and the exit code is 2; the others are prepared all the same.
    """
    from cmfm_protocol.files.dataset import DatasetError
    from cmfm_worker.cli.console import print_json, progress_bars, remark
    from cmfm_worker.datasets.cache.fill import fill, open_or_make
    from cmfm_worker.datasets.cache.key import Preparation
    from cmfm_worker.datasets.cache.part_file import MAX_PART_BYTES
    from cmfm_worker.line.compute.device import choose_device

    chosen_light = options.light_of(dataset, light)
    how = _background(recipe, background, plane_distance_m, clusters)
    parts = _parts(root, category, dataset, chosen_light)
    on = choose_device(device)
    cache = open_or_make(out, Preparation.here(how.options(), on), force=force)
    remark(f"{len(parts)} parts; prepared they take at most {len(parts) * MAX_PART_BYTES / 1e6:.0f} MB")
    start = time.perf_counter()
    with progress_bars({"prepare": "preparing"}) as progress:
        filled = fill(cache, parts, batch, on, progress)
    seconds = time.perf_counter() - start
    if json:
        print_json(_summary(filled, out, seconds))
    else:
        _show(filled, out, seconds)
    for name, why in filled.torn.items():
        remark(f"torn: {name}: {why}")
    if filled.torn:
        raise DatasetError(
            f"{len(filled.torn)} of {len(parts)} parts cannot be read; mend them and run this again: only they are "
            "prepared anew"
        )


def _background(
    recipe: Path | None, method: str | None, plane_distance_m: float | None, clusters: str | None
) -> "BackgroundSection":
    """The recipe's options or the defaults, with those given in place of them."""
    from cmfm_worker.recipes.recipe import read_recipe_file
    from cmfm_worker.recipes.sections import background_section

    taught = read_recipe_file(recipe).background.model_dump() if recipe is not None else {}
    given = {"method": method, "plane_distance_m": plane_distance_m, "clusters": clusters}
    table = taught | {key: value for key, value in given.items() if value is not None}
    if table.get("method") != "fixed":
        table.pop("plane", None)
    return background_section(**table)


def _parts(root: Path, category: list[str] | None, dataset: options.Layout, light: int) -> "list[PartFiles]":
    """Every part of the categories' splits, of which only train has to be there; its ground truths are looked at."""
    from cmfm_protocol.files.dataset import SPLITS, categories, check_ground_truths, has_split, list_parts
    from cmfm_worker.cli.console import remark

    chosen = list(dict.fromkeys(category or categories(root, dataset)))
    parts = [
        part
        for name in chosen
        for split in SPLITS
        if split == "train" or has_split(root, name, split, dataset)
        for part in list_parts(root, name, split, dataset, light=light)
    ]
    for text in check_ground_truths(parts):
        remark(text)
    return parts


def _summary(filled: "Filled", out: Path, seconds: float) -> dict[str, Any]:
    return {
        "prepared": str(out),
        "parts": filled.prepared + filled.kept,
        "bytes": filled.nbytes,
        "made": filled.prepared,
        "renewed": filled.renewed,
        "kept": filled.kept,
        "torn": filled.torn,
        "seconds": round(seconds, 3),
    }


def _show(filled: "Filled", out: Path, seconds: float) -> None:
    from cmfm_worker.cli.console import show_facts

    show_facts(
        f"prepared parts in {out}",
        [
            ("parts", f"{filled.prepared + filled.kept}, {filled.nbytes / 1e6:.1f} MB"),
            ("made now", f"{filled.prepared} in {seconds:.1f} s, {filled.renewed} of them anew"),
            ("there already", str(filled.kept)),
            ("torn", str(len(filled.torn))),
        ],
    )
