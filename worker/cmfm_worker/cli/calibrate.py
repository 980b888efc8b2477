"""`cmfm-worker calibrate`: sets threshold, grey band and minimum coverage of a recipe from nominal parts."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from cmfm_worker.cli import options
from cmfm_worker.cli.calibrate_target import choose_target, write
from cmfm_worker.cli.wanted_limits import read_wanted

STAGES = {
    "start": "starting",
    "read": "reading",
    "nominal": "nominal parts",
    "labelled": "labelled parts",
    "simulate": "simulated defects",
    "worst": "pictures",
}


def calibrate(
    recipe: options.Recipe,
    root: Annotated[
        Path | None, typer.Option(help="Folder that holds the categories.", show_default=False)
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Name of the category's folder.", show_default=False)
    ] = None,
    dataset: options.Dataset = "mvtec3d",
    light: options.Light = None,
    xyz_unit: options.XyzUnit = "m",
    split: Annotated[
        Literal["validation", "train"],
        typer.Option(
            help="The nominal parts: ROOT/CATEGORY/validation, or those of train that the fit did not use."
        ),
    ] = "validation",
    nominal: Annotated[
        Path | None,
        typer.Option(
            help="The nominal parts: a folder with rgb/ and xyz/, instead of a split.",
            show_default=False,
        ),
    ] = None,
    leave_out: options.LeaveOut = None,
    target_false_reject_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Share of good parts that may FAIL. Default: 0.05, about 1 of 20; with --threshold-by conformal, or "
            "fewer than 10 nominal parts, the smallest that they support.",
            show_default=False,
        ),
    ] = None,
    threshold_by: options.ThresholdBy = "tail",
    fail_at: Annotated[
        float | None,
        typer.Option(metavar="SCORE", help="The threshold itself, instead of a rate.", show_default=False),
    ] = None,
    grey_rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Share of good parts that may be UNDECIDED by score, in addition to those that FAIL.",
            show_default=False,
        ),
    ] = None,
    grey_from: Annotated[
        float | None,
        typer.Option(
            metavar="SCORE",
            help="The score from which on a part is UNDECIDED, instead of a rate.",
            show_default=False,
        ),
    ] = None,
    minimum_coverage: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Least share of 3D; a part with less is UNDECIDED. Default: below the nominal part with least, by a "
            "margin that follows from their number.",
            show_default=False,
        ),
    ] = None,
    labelled: Annotated[
        bool | None,
        typer.Option(
            "--labelled/--no-labelled",
            help="Show what the limits would have done on ROOT/CATEGORY/test. Default: if there is one.",
            show_default=False,
        ),
    ] = None,
    collected: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of collected parts ([collected] in line.toml): those of the product that people called good "
            "or bad are shown, too.",
            show_default=False,
        ),
    ] = None,
    product: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The collected product. Default: the recipe's name.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for a new recipe. Default: change the recipe in place, with --force.",
            show_default=False,
        ),
    ] = None,
    force: options.Force = False,
    by: options.By = None,
    why: options.Why = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the limits, but write no recipe.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.", show_default=False)
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw the scores and the limits to this PNG file.", show_default=False),
    ] = None,
    calib_id: options.CalibId = None,
    weights: options.Weights = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    simulated_defects: options.SimulatedDefects = 120,
    batch: options.Batch = 4,
) -> None:
    """Set a recipe's threshold, and the limits of what a part may be like, from good parts.

    The threshold is set for the false-reject rate asked for, 5 % by default: about 1 of 20 good parts. A rate that
    needs more parts is refused. If there is a labelled test split, or --collected, the command shows what the limits
    would have done on these parts; they decide nothing. Only recipe.toml and the recipe's report change, not the
    networks nor the model's id. A running line uses the new limits after the control request `load_recipe`.
    docs/calibration.md says what the rates promise.
    """
    wanted = read_wanted(target_false_reject_rate, grey_rate, fail_at, grey_from, minimum_coverage)
    wanted = replace(wanted, method=threshold_by)
    if nominal is None and (root is None or category is None):
        raise typer.BadParameter("give --root and --category, or --nominal FOLDER")
    if product is not None and collected is None:
        raise typer.BadParameter("needs --collected", param_hint="--product")
    if labelled and (root is None or category is None):
        raise typer.BadParameter("needs --root and --category", param_hint="--labelled")
    from cmfm_worker.cli.console import progress_bars, remark, remark_impossible

    with progress_bars(STAGES) as progress:
        progress("start", 0, 1)  # what follows is imported for seconds
        from cmfm_protocol.files.dataset import in_unit
        from cmfm_protocol.files.folder_names import category_name
        from cmfm_protocol.files.outputs import require_writable_files
        from cmfm_worker.cli import calibrate_report
        from cmfm_worker.cli.closing_page import write_report
        from cmfm_worker.cli.closing_tables import repeated_in_words, show_closing, suspects_in_words
        from cmfm_worker.cli.evaluate_recipe import write_json
        from cmfm_worker.datasets.scored import score_parts
        from cmfm_worker.inspection.inspector import Inspector
        from cmfm_worker.line.compute.device import choose_device, choose_precision
        from cmfm_worker.recipes.extractors import extractor_of
        from cmfm_worker.recipes.loaded_model import LoadedModel
        from cmfm_worker.recipes.recipe import load_recipe
        from cmfm_worker.recipes.sections import calibration_section
        from cmfm_worker.teaching import nominal_parts
        from cmfm_worker.teaching.calibrate import calibrate as limits_from
        from cmfm_worker.teaching.calibrate import origin_of
        from cmfm_worker.teaching.closing import closing_of
        from cmfm_worker.teaching.collected_labels import labels_of
        from cmfm_worker.teaching.nominal_score import NominalScore

        category_at = None
        category = category_name(category) if category is not None else None
        if root is not None and category is not None:
            light_used = options.light_of(dataset, light)
            category_at = nominal_parts.CategoryAt(root, category, dataset, light_used)
        loaded = load_recipe(recipe)
        changes = {} if calib_id is None else {"calibration": calibration_section(calib_id)}
        target = None if dry_run else choose_target(loaded, out, force=force)
        require_writable_files(json_file, picture)
        options.require_tiff(dataset, xyz_unit)
        chosen = nominal_parts.choose(category_at, split, nominal, loaded.recipe, leave_out or ())
        nominal_files = in_unit(chosen.parts, xyz_unit)
        wanted.require_supported(len(nominal_files))
        shown = in_unit(nominal_parts.labelled_parts(category_at, labelled), xyz_unit)
        if collected is not None:
            labels = labels_of(collected, product or loaded.recipe.name, loaded.recipe)
            shown = [*shown, *labels.files()]
            remark(labels.in_words())
        on = choose_device(device)
        products = choose_precision(precision, on)
        inspector = Inspector(extractor_of(loaded.recipe, weights, on, products))
        inspector.require_match(loaded.recipe)
        for text in chosen.remarks:
            remark(text)
        model = LoadedModel.of(loaded, on, products)
        progress("start", 1, 1)
        nominal_parts.require_readable([*nominal_files, *shown], progress)
        scored, labelled_scored = (
            score_parts(inspector, model, parts, batch=batch, stage=stage, progress=progress)
            for stage, parts in (("nominal", nominal_files), ("labelled", shown))
        )
        origin = origin_of(wanted, chosen.source, len(chosen.parts), on, products)
        calibration = limits_from(
            loaded.recipe.model_copy(update=changes), scored, wanted, origin, labelled_scored
        )
        closing = closing_of(
            inspector.extractor,
            replace(model, recipe=calibration.recipe),
            [
                NominalScore(files, part.score, "nominal", model.mapping)
                for files, part in zip(nominal_files, scored, strict=True)
            ],
            simulated=simulated_defects,
            batch=batch,
            progress=progress,
        )
    remark_impossible({part.id: part.impossible_px for part in (*scored, *labelled_scored)})
    calibrate_report.show(calibration, closing)
    show_closing(closing)
    advice = suspects_in_words(closing, "calibrate", report=not dry_run)
    for text in (*calibrate_report.remarks(calibration), *repeated_in_words(closing.nominal), *advice):
        remark(text)
    if picture is not None:
        calibrate_report.draw(calibration, picture)
    named = loaded.recipe.name if target is None else target.resolve().name
    written = (
        None
        if target is None
        else write(
            loaded,
            calibration.recipe,
            target,
            lambda folder: write_report(folder, closing, named, advice),
            by,
            why,
        )
    )
    if json_file is not None:
        write_json(json_file, calibrate_report.figures(calibration) | {"written": written})
    remark(
        f"{target}: written, recipe.toml has sha256 {written}" if written else "dry run: no recipe written"
    )
