"""`cmfm-worker evaluate`: measures one recipe on a test split, or with `--all` makes the paper's tables."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from cmfm_worker.cli import options

_ALL = "With --all"
"""Heading of the options for `--all`."""


def _devices(text: str) -> str:
    if re.fullmatch(r"(auto|cpu|cuda(:\d+)?)(,(cpu|cuda(:\d+)?))*", text) is None:
        raise typer.BadParameter("must be auto, cpu, cuda or cuda:N; with --all also several, with commas")
    return text


def evaluate(
    root: options.Root,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", help="Folder of the recipe to measure.", show_default=False),
    ] = None,
    category: Annotated[
        list[str] | None,
        typer.Option(
            "--category",
            help="Name of the category's folder; with --all it may be given several times (default: all).",
            show_default=False,
        ),
    ] = None,
    dataset: options.Dataset = "mvtec3d",
    light: options.Light = None,
    xyz_unit: options.XyzUnit = "m",
    prepared: options.Prepared = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Write the figures of the recipe to this file.", show_default=False),
    ] = None,
    weights: options.Weights = None,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            help="auto, cpu, cuda or cuda:N; with --all several with commas.",
            callback=_devices,
        ),
    ] = "auto",
    precision: options.Precision = "fp32",
    batch: options.Batch = 4,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="Teach and measure every category and variant, and write the paper's tables."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for tables, report, recipes and finished experiments; an interrupted run continues.",
            show_default=False,
            rich_help_panel=_ALL,
        ),
    ] = None,
    extractors: Annotated[
        Literal["classic", "paper"],
        typer.Option(help="classic: fixed filters; paper: DINO and Point-MAE.", rich_help_panel=_ALL),
    ] = "classic",
    group_size: Annotated[
        Literal[128, 32], typer.Option(help="Points in a group (paper only).", rich_help_panel=_ALL)
    ] = 128,
    tables: Annotated[
        str | None,
        typer.Option(
            metavar="1,4-6",
            help="The paper's tables to make. Default: those that the paper made on this data set; all on others.",
            show_default=False,
            rich_help_panel=_ALL,
        ),
    ] = None,
    skip: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Variants to leave out, with commas; their places in the tables stay empty.",
            show_default=False,
            rich_help_panel=_ALL,
        ),
    ] = "",
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Epochs of the main experiments. Default: the preset's (paper: 250). Ablations take a fifth.",
            show_default=False,
            rich_help_panel=_ALL,
        ),
    ] = None,
    pixels_per_part: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Pixels drawn from each part in an epoch. Default: the preset's (paper: all).",
            show_default=False,
            rich_help_panel=_ALL,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="S",
            help="Random seed of shots, pixels and initial weights.",
            rich_help_panel=_ALL,
        ),
    ] = 0,
    normalisation: Annotated[
        Literal["absolute", "published"] | None,
        typer.Option(
            help="Normalisation of scores and maps. Default: published for paper, absolute for classic.",
            show_default=False,
            rich_help_panel=_ALL,
        ),
    ] = None,
    background: Annotated[
        Literal["ransac", "none"],
        typer.Option(
            help="How to remove the tray: by a plane fit in every frame, or not at all.", rich_help_panel=_ALL
        ),
    ] = "ransac",
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            help="Run on this machine, or on an existing Ray cluster (extra `ray`).", rich_help_panel=_ALL
        ),
    ] = "local",
    ray_address: Annotated[
        str,
        typer.Option(
            help="Address of the Ray cluster; auto: the one this machine belongs to.", rich_help_panel=_ALL
        ),
    ] = "auto",
    gpus_per_experiment: Annotated[
        float,
        typer.Option(
            min=0.0,
            metavar="SHARE",
            help="GPUs of the Ray cluster for each experiment.",
            rich_help_panel=_ALL,
        ),
    ] = 0.0,
    report: Annotated[
        bool, typer.Option(help="Write the HTML report (extra `report`).", rich_help_panel=_ALL)
    ] = True,
) -> None:
    """Measure a recipe on ROOT/CATEGORY/test (eyecandies: test_public), or a whole data set with --all.

    The figures are I-AUROC over parts, P-AUROC over pixels and AUPRO up to four false-positive rates: exact and with
    99 thresholds over whole images, and exact with false positives counted among foreground pixels only. Parts that
    cannot be inspected (a FAULT on the line) or read (damaged files) are named and left out of the figures.
    """
    chosen_light = options.light_of(dataset, light)
    options.require_tiff(dataset, xyz_unit)
    if not everything:
        from cmfm_protocol.files.folder_names import category_name
        from cmfm_worker.cli.evaluate_recipe import RecipeTrial, evaluate_recipe

        if recipe is None or category is None or len(category) != 1:
            raise typer.BadParameter("give one --recipe and one --category, or --all with --out")
        if out is not None:
            raise typer.BadParameter(
                "needs --all; the figures of a recipe are written with --json", param_hint="--out"
            )
        evaluate_recipe(
            RecipeTrial(
                recipe,
                root,
                category_name(category[0]),
                dataset,
                chosen_light,
                xyz_unit,
                prepared,
                json_file,
                weights,
                device,
                precision,
                batch,
            )
        )
        return
    if recipe is not None or json_file is not None:
        raise typer.BadParameter(
            "--all teaches its own recipes and writes to --out; leave out --recipe and --json"
        )
    if out is None:
        raise typer.BadParameter("--all needs a folder for the tables", param_hint="--out")
    from cmfm_worker.cli.evaluate_all import HowToRun, evaluate_all, table_numbers, variant_names
    from cmfm_worker.line.compute.device import choose_device, choose_precision
    from cmfm_worker.paper_tables.experiments import RunOptions
    from cmfm_worker.recipes.sections import background_section

    devices = tuple(device.split(","))
    run = RunOptions(
        root,
        dataset,
        _categories(root, dataset, category),
        extractors,
        weights=weights,
        group_size=group_size,
        epochs=epochs,
        pixels_per_image=pixels_per_part,
        seed=seed,
        normalisation=normalisation,
        background=background_section(method=background),
        precision=choose_precision(precision, choose_device(devices[0])),
        batch=batch,
        prepared=prepared,
        light=chosen_light,
        xyz_unit=xyz_unit,
    )
    how = HowToRun(
        out,
        table_numbers(tables),
        variant_names(skip),
        devices,
        engine,
        ray_address,
        gpus_per_experiment,
        report,
    )
    raise typer.Exit(evaluate_all(run, how))


def _categories(root: Path, dataset: options.Layout, asked: list[str] | None) -> tuple[str, ...]:
    from cmfm_protocol.files.dataset import DatasetError, categories
    from cmfm_protocol.files.folder_names import category_name

    known = categories(root, dataset)
    wanted = tuple(dict.fromkeys(map(category_name, asked or ())))
    for name in wanted:
        if name not in known:
            raise DatasetError(f"{root} has no category {name!r}; it has {', '.join(known)}")
    return wanted or tuple(known)
