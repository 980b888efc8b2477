"""`cmfm-worker prepare`: prepares the frames of a data set once, for any number of fits and evaluations."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cmfm_worker.cli import options

if TYPE_CHECKING:
    from cmfm_protocol.files.dataset import PartFiles
    from cmfm_worker.datasets.cache.fill import FillReport
    from cmfm_worker.recipes.sections import BackgroundSection


def prepare(
    root: options.Root,
    out: Annotated[
        Path, typer.Option(help="Folder for the prepared parts, new or to be completed.", show_default=False)
    ],
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category", help="Category; may be given several times. Default: all.", show_default=False
        ),
    ] = None,
    dataset: options.Dataset = "mvtec3d",
    light: options.Light = None,
    xyz_unit: options.XyzUnit = "m",
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe",
            help="Use the background options of this recipe, including a taught tray.",
            show_default=False,
        ),
    ] = None,
    background: options.BackgroundOverride = None,
    plane_distance_m: options.PlaneDistanceOverride = None,
    clusters: options.ClustersOverride = None,
    device: options.Device = "auto",
    batch: options.Batch = 4,
    force: Annotated[
        bool, typer.Option("--force", help="Prepare again parts that were prepared in another way.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, not as a table.")] = False,
) -> None:
    """Crop, resize and remove the tray from every part of a data set, once.

    `fit` and `evaluate` use the folder with --prepared and give the same results as without it, bit for bit. They
    refuse it for other background options, another kind of device, another version of the program, or parts whose
    files have changed.

    The command may be interrupted. The next run continues, and prepares again only parts whose files have changed. If
    parts cannot be read, the others are still prepared; the unreadable ones are named and the exit code is 2.
    """
    from cmfm_protocol.files.dataset import DatasetError, in_unit
    from cmfm_protocol.files.outputs import require_writable_folder
    from cmfm_worker.cli.console import print_json, progress_bars, remark, remark_impossible
    from cmfm_worker.datasets.cache.fill import fill, open_or_make
    from cmfm_worker.datasets.cache.key import CacheKey
    from cmfm_worker.line.compute.device import choose_device

    require_writable_folder(out)
    chosen_light = options.light_of(dataset, light)
    options.require_tiff(dataset, xyz_unit)
    how = _background(recipe, background, plane_distance_m, clusters)
    parts = in_unit(_parts(root, category, dataset, chosen_light), xyz_unit)
    on = choose_device(device)
    cache = open_or_make(out, CacheKey.here(how.options(), on), force=force)
    remark(f"{len(parts)} parts; they need at most {_most_bytes(parts) / 1e6:.0f} MB")
    start = time.perf_counter()
    with progress_bars({"prepare": "preparing"}) as progress:
        filled = fill(cache, parts, batch, on, progress)
    seconds = time.perf_counter() - start
    if json:
        print_json(_summary(filled, out, seconds))
    else:
        _show(filled, out, seconds)
    remark_impossible(filled.impossible)
    for name, why in filled.torn.items():
        remark(f"torn: {name}: {why}")
    if filled.torn:
        raise DatasetError(
            f"{len(filled.torn)} of {len(parts)} parts cannot be read; repair them and run this again: it prepares "
            "only them"
        )


def _most_bytes(parts: "list[PartFiles]") -> int:
    """Return the most bytes that prepared parts can take, by the sizes of their pictures; unreadable ones take none."""
    from cmfm_protocol.files.dataset import DatasetError
    from cmfm_protocol.files.picture_files import png_size
    from cmfm_worker.datasets.cache.part_file import most_part_bytes

    most = 0
    for part in parts:
        with suppress(DatasetError):
            most += most_part_bytes(png_size(part.rgb))
    return most


def _background(
    recipe: Path | None, method: str | None, plane_distance_m: float | None, clusters: str | None
) -> "BackgroundSection":
    """Return the recipe's options or the defaults, overridden by the given ones."""
    from cmfm_worker.recipes.recipe import read_recipe_file
    from cmfm_worker.recipes.sections import background_section

    taught = read_recipe_file(recipe).background.model_dump() if recipe is not None else {}
    given = {"method": method, "plane_distance_m": plane_distance_m, "clusters": clusters}
    table = taught | {key: value for key, value in given.items() if value is not None}
    if table.get("method") != "fixed":
        table.pop("plane", None)
    return background_section(**table)


def _parts(root: Path, category: list[str] | None, dataset: options.Layout, light: int) -> "list[PartFiles]":
    """List every part of the categories' splits; only train must exist. Checks that the ground truths exist."""
    from cmfm_protocol.files.dataset import SPLITS, categories, check_ground_truths, has_split, list_parts
    from cmfm_protocol.files.folder_names import category_name
    from cmfm_worker.cli.console import remark

    chosen = list(dict.fromkeys(map(category_name, category or categories(root, dataset))))
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


def _summary(filled: "FillReport", out: Path, seconds: float) -> dict[str, Any]:
    return {
        "prepared": str(out),
        "parts": filled.prepared + filled.kept,
        "bytes": filled.nbytes,
        "made": filled.prepared,
        "renewed": filled.renewed,
        "kept": filled.kept,
        "torn": filled.torn,
        "impossible_points": filled.impossible,
        "seconds": round(seconds, 3),
    }


def _show(filled: "FillReport", out: Path, seconds: float) -> None:
    from cmfm_worker.cli.console import show_facts

    show_facts(
        f"prepared parts in {out}",
        [
            ("parts", f"{filled.prepared + filled.kept}, {filled.nbytes / 1e6:.1f} MB"),
            ("prepared now", f"{filled.prepared} in {seconds:.1f} s, {filled.renewed} of them again"),
            ("present before", str(filled.kept)),
            ("torn", str(len(filled.torn))),
        ],
    )
